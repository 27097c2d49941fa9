"""Public dialogue schemas and corpus documents become interactions."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tokenization.adapters import AdapterError, conversation_of, interactions_of
from tokenization.records import Document, Interaction

ONE, TWO = {"query": "q1", "answer": "a1"}, {"query": "q2", "answer": "a2"}
FULL = {"query": "q", "think": "t", "answer": "a", "tool_call": "{}", "tool_response": "r", "internal": "i"}


def adapt(record: dict) -> tuple[Interaction, ...]:
    return conversation_of(record, "x-1", "pl", "x", "train").interactions


@pytest.mark.parametrize(
    "record, expected",
    [
        (ONE, [Interaction("q1", "a1")]),
        ({**ONE, "answer_length": 7}, [Interaction("q1", "a1")]),
        ({**ONE, "interactions": [TWO]}, [Interaction("q1", "a1"), Interaction("q2", "a2")]),
        ({**ONE, "interactions": [TWO], "system": None}, [Interaction("q1", "a1"), Interaction("q2", "a2")]),
        ({"interactions": [ONE, TWO]}, [Interaction("q1", "a1"), Interaction("q2", "a2")]),
        ({"interactions": [ONE], "system": "be kind"}, [Interaction("", "", "be kind"), Interaction("q1", "a1")]),
        ({"interactions": [FULL]}, [Interaction("q", "a", "i", "r", "t", "{}")]),
        ({"interactions": [{**ONE, "think": "", "tool_use": None}]}, [Interaction("q1", "a1")]),
        (
            {"interactions": [{"tool_use": "42", "answer": "a", "query": None}]},
            [Interaction("", "a", tool_result="42")],
        ),
    ],
)
def test_interaction_schemas(record, expected):
    assert adapt(record) == tuple(expected)


@pytest.mark.parametrize("column", ["messages", "conversation"])
def test_role_and_content_messages(column):
    roles = [("system", "s"), ("assistant", "hello"), ("user", "u1"), ("user", "u2"), ("assistant", "a1"),
             ("tool", "42"), ("assistant", "a2"), ("user", "nobody answers")]  # fmt: skip
    record = {column: [{"role": role, "content": text, "toxic": False} for role, text in roles], "hashed_ip": "x"}
    assert adapt(record) == (
        Interaction("", "", internal="s"),
        Interaction("u1\nu2", "a1"),
        Interaction("", "a2", tool_result="42"),
    )


def test_unknown_schemas_are_named():
    with pytest.raises(AdapterError, match=r"x-1 of x .*\['prompt', 'response'\]"):
        adapt({"prompt": "p", "response": "r"})
    with pytest.raises(AdapterError, match="critic"):
        adapt({"messages": [{"role": "critic", "content": "hm"}]})


def test_the_public_schemas_survive_parquet(tmp_path):
    """Null columns, struct fields in another order and missing optional fields, as `datasets` reads them."""
    import datasets

    first = pa.Table.from_pylist([{**ONE, "interactions": [TWO], "system": None}])
    other = pa.Table.from_pylist([{"interactions": [{"answer": "a2", "query": "q2"}], "answer": "a1", "query": "q1"}])
    for name, table in (("a", first), ("b", other)):
        path = str(tmp_path / f"{name}.parquet")
        pq.write_table(table, path)
        (record,) = datasets.Dataset.from_parquet(path, cache_dir=str(tmp_path))
        assert adapt(record) == (Interaction("q1", "a1"), Interaction("q2", "a2"))


def document(text: str, source: str, language: str = "pl") -> Document:
    return Document("id", text, language, source, "MIT", "train")


def test_documents_become_interactions_by_the_form_of_their_source():
    assert list(interactions_of(document("Hi!\nHello.\nHow are you?\nFine.\nBye", "chitchat-dataset", "en"))) == [
        Interaction("Hi!", "Hello."),
        Interaction("How are you?", "Fine."),
    ]
    assert list(interactions_of(document("latarnia\nlampa uliczna\nwieża", "dict-freedict-pol-eng"))) == [
        Interaction("Co znaczy „latarnia”?", "lampa uliczna"),
        Interaction("Co znaczy „latarnia”?", "wieża"),
    ]
    prose = "Ala ma kota. Kot ma np. ogon! Naprawdę? Ósmego maja śpi. Reszta.\n\nOsobny akapit bez pary."
    assert list(interactions_of(document(prose, "anything"))) == [
        Interaction("Ala ma kota.", "Kot ma np. ogon!"),
        Interaction("Naprawdę?", "Ósmego maja śpi."),
    ]
