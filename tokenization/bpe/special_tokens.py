"""The control tokens and their fixed ids. The first five are customary; the rest mark the parts of an interaction."""

PAD, UNK, BOS, EOS, MASK, QUERY, ANSWER, THINK, TOOL_CALL, TOOL_RESULT, INTERNAL = range(11)

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[BOS]", "[EOS]", "[MASK]", "[Q]", "[A]", "[T]", "[C]", "[U]", "[I]")
