"""Tables as people export them: what stands before the names of the columns, and names that mislead."""

import io

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from tokenization.conversations.data_set import ConversationSource
from tokenization.conversations.sources import partitions_of, read_conversations
from tokenization.quarantine import Rejected
from tokenization.sources.source import Source, SourceError
from tokenization.sources.texts import pieces, read

ONE, TWO = "Rzeka wezbrała, a wieś czekała.", "Rano woda opadła; most stał."


def reads(path) -> tuple[list[str], list[Rejected]]:
    source = Source(name="mine", kind="files", language="pl", licence="MIT", path=str(path))
    found = [one for piece in pieces(source) for one in read(source, piece)]
    return [one for one in found if isinstance(one, str)], [one for one in found if isinstance(one, Rejected)]


ROWS = f'1;"{ONE}"\r\n2;"{TWO}"\r\n'


@pytest.mark.parametrize(
    "table",
    [
        f"sep=;\r\nid;text\r\n{ROWS}",
        f'"sep=;"\r\nid;text\r\n{ROWS}',
        f"# a report, of 2024\r\n#\r\n\r\nid;text\r\n{ROWS}",
        f"#id;text\r\n{ROWS}",
        f"cena;text\r\n1,50;{ONE}\r\n2,75;\"{TWO}\"\r\n",
        f"sep=\t\r\nid\ttext\r\n1\t{ONE}\r\n2\t{TWO}\r\n",
        f'text\r\n"{ONE}"\r\n"{TWO}"\r\n',
        f'id,text,text2\r\n1,"{ONE}",\r\n2,"{TWO}",a\r\n',
    ],
)  # fmt: skip
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1250"])
def test_tables_of_spreadsheets(tmp_path, table, encoding):
    (tmp_path / "a.csv").write_bytes(table.encode(encoding))
    assert reads(tmp_path / "a.csv") == ([ONE, TWO], [])


def test_a_title_before_the_names_is_told_and_costs_nothing_else(tmp_path):
    (tmp_path / "a.csv").write_text(f"Powodzie;\n\nid;text\n{ROWS}3;{TWO};x\n")
    texts, bad = reads(tmp_path / "a.csv")
    assert texts == [ONE, TWO] and [one.place for one in bad] == ["line 1", "line 6"]


@pytest.mark.parametrize(
    ("table", "told"),
    [
        (f'1,"{ONE}"\n2,"{TWO}"\n', "seems to be a row"),
        (f'"{ONE * 3}"\n"{TWO}"\n', "seems to be a row"),
        (f"1;{ONE}\n2;text\n3;{ONE}\n", "seems to be a row"),
        (f"id;Text\n1;{ONE}\n", "it has 'id', 'Text'"),
        (f",body\n0,text\n1,{TWO}\n", "it has '', 'body'"),
        (f"body\n0,text\n1,{TWO}\n", "it has 'body'"),
        (f"text;text\na;{ONE}\n", "two columns have the name 'text'"),
        ("", "empty"),
    ],
)
def test_a_table_without_clear_names_is_refused(tmp_path, table, told):
    (tmp_path / "a.csv").write_text(table)
    texts, [bad] = reads(tmp_path / "a.csv")
    assert texts == [] and told in str(bad)


def test_a_column_may_be_called_as_the_line_of_excel_is(tmp_path):
    (tmp_path / "a.csv").write_text(f'sep=,text\n1,"{ONE}"\n')
    assert reads(tmp_path / "a.csv") == ([ONE], [])


@pytest.mark.parametrize("before", ["sep=;\n", "# a, b\n", "\n"])
def test_tables_of_questions_and_answers(tmp_path, before):
    (tmp_path / "a.csv").write_text(f"{before}prompt;completion\n{ONE};\"{TWO}\"\n")  # fmt: skip
    source = ConversationSource(name="a", kind="files", language="pl", licence="MIT", path=str(tmp_path / "a.csv"))
    [partition] = partitions_of(source)
    [found] = read_conversations(partition)
    assert [(turn.query, turn.answer) for turn in found.interactions] == [(ONE, TWO)]


@pytest.mark.parametrize(
    "table",
    [
        f'id,text\n0,"{ONE}",\n1,"{TWO}",,\n',
        f'id,text,\n0,"{ONE}"\n1,"{TWO}",\n',
        f'id,text,\n0,"{ONE}",a\n1,"{TWO}",\n',
        f"id\ttext\n0\t{ONE}\t\n1\t{TWO}\t\r\n",
        f'id,text\n0,"{ONE}",\n1,"\\"{TWO}\\"",\n',
    ],
)
def test_a_delimiter_at_the_end_of_lines_costs_no_row(tmp_path, table):
    for name in ("a.csv", "a.tsv", "a.txt", "a"):
        (tmp_path / name).write_text(table)
        texts, bad = reads(tmp_path / name)
        assert [text.strip('"') for text in texts] == [ONE, TWO] and bad == []


def test_a_value_without_a_column_and_a_column_without_a_value_cost_their_row(tmp_path):
    (tmp_path / "a.csv").write_text(f"id,text,n\n0,{ONE[:5]}\n1,{ONE[:5]},2,x\n2,{ONE[:5]},3\n")
    texts, bad = reads(tmp_path / "a.csv")
    assert texts == [ONE[:5]] and [one.place for one in bad] == ["line 2", "line 3"]


WRITERS = {
    "csv": lambda table, path: path.write_text(",".join(table.schema.names) + "\na,b\n"),
    "parquet": pq.write_table,
    "arrow": lambda table, path: pyarrow.feather.write_feather(table, str(path)),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_columns_of_no_schema_are_named(tmp_path, kind):
    WRITERS[kind](pa.table({"QUESTION": ["a"], "foo": ["b"]}), tmp_path / f"a.{kind}")
    source = ConversationSource(name="a", kind="files", language="pl", licence="MIT", path=f"{tmp_path}/a.{kind}")
    with pytest.raises(SourceError, match="no column that is read; its columns .* 'QUESTION', 'foo'; rename them"):
        partitions_of(source)


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view()])
@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_bytes_are_text_if_they_are_utf_8(tmp_path, kind, name):
    column = pa.array([ONE.encode(), b"\xb1\xe6", None, TWO.encode()], kind)
    table = pa.table({"id": [1, 2, 3, 4], "text": column})
    sink = io.BytesIO()
    pq.write_table(table, sink, store_schema=False)
    pyarrow.feather.write_feather(table, str(tmp_path / name))
    if name == "a.parquet":
        (tmp_path / name).write_bytes(sink.getvalue())
    texts, bad = reads(tmp_path / name)
    assert texts == [ONE, TWO] and [(one.place, one.reason) for one in bad] == [
        ("row 1", "not UTF-8"),
        ("row 2", "null"),
    ]
