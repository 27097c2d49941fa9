"""Calls in JSON: what is read, and what is refused with which words."""

from __future__ import annotations

import json

import pytest

from tokenization.conversations.messages import read_messages
from tokenization.tools.calls import CallError, ToolCall, read_calls

GOOD = '{"name": "calculator", "arguments": {"expression": "1 + 2"}}'


def test_a_call_is_read_as_it_is_written_and_as_data_sets_of_chats_write_it():
    call = ToolCall("calculator", "1 + 2")
    assert call.written == GOOD and read_calls(call.written) == [call]
    assert read_calls(ToolCall("look_up", 'żółw "Ula"').written) == [ToolCall("look_up", 'żółw "Ula"')]
    called = {"function": {"name": "calculator", "arguments": json.dumps({"expression": "1 + 2"})}}
    (message,) = read_messages([{"role": "assistant", "content": None, "tool_calls": [called]}], "messages")
    assert message.call == GOOD


def test_several_calls_stand_one_after_another():
    assert read_calls(f' {GOOD}\n{{"name":"look_up","arguments":{{"query":"x"}}}} ') == [
        ToolCall("calculator", "1 + 2"),
        ToolCall("look_up", "x"),
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the call is not JSON: Expecting value"),
        (GOOD[:-1], "the call is not JSON: Expecting ',' delimiter"),
        (GOOD.replace('"', "'"), "the call is not JSON: Expecting property name"),
        (GOOD + " done", "the call is not JSON: Expecting value"),
        ("[" * 100_000, "the call is not JSON: nested too deeply"),
        ('{"name": "calculator", "arguments": NaN}', "the call is not JSON: NaN"),
        (f'{{"name": "calculator", "arguments": {"9" * 5000}}}', "the call is not JSON: a number is too long"),
        ("[]", "a call is an object with name and arguments"),
        ('"calculator"', "a call is an object with name and arguments"),
        ('{"name": "calculator"}', "a call is an object with name and arguments"),
        (GOOD[:-1] + ', "id": 1}', "a call is an object with name and arguments"),
        (GOOD[:-1] + ', "name": "look_up"}', "a key is twice in the call"),
        (GOOD.replace("calculator", "shell"), "there is no tool 'shell'"),
        ('{"name": ["calculator"], "arguments": {}}', "there is no tool"),
        (GOOD.replace("expression", "query"), "calculator takes one text: expression"),
        (GOOD.replace('"1 + 2"', "3"), "calculator takes one text: expression"),
        ('{"name": "calculator", "arguments": "1 + 2"}', "calculator takes one text: expression"),
        ('{"name": "look_up", "arguments": {"query": "x", "path": "/etc"}}', "look_up takes one text: query"),
    ],
)
def test_nothing_is_guessed(text, reason):
    with pytest.raises(CallError) as caught:
        read_calls(text)
    assert str(caught.value).startswith(reason)
