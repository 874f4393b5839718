import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modeltest.models.rules import (
    LONGEST_NAME,
    Condition,
    NameCase,
    NamePart,
    NameRule,
    config_value,
    count_in,
    holds,
    name_by_layers,
    name_by_rules,
    safe_name,
)


class TestHolds:
    def test_an_empty_condition_holds_for_everything(self):
        assert holds(Condition(), {})

    @pytest.mark.parametrize(
        ("config", "expected"),
        [({"a": 1, "b": "x"}, True), ({"a": 1}, False), ({"a": 2, "b": "x"}, False), ({}, False)],
    )
    def test_where_needs_every_field(self, config, expected):
        assert holds(Condition(where={"a": 1, "b": "x"}), config) is expected

    @pytest.mark.parametrize(("value", "expected"), [(4096, True), (16384, True), (8192, False)])
    def test_where_takes_any_of_several_values(self, value, expected):
        assert holds(Condition(where={"length": (4096, 16384)}), {"length": value}) is expected

    @pytest.mark.parametrize("value", [True, 1.0, "1", [1], {"1": 1}, None])
    def test_a_value_of_another_type_is_another_value(self, value):
        assert not holds(Condition(where={"a": 1}), {"a": value})

    def test_present_and_absent_look_at_the_key_and_not_at_the_value(self):
        assert holds(Condition(present=("a",)), {"a": None})
        assert not holds(Condition(absent=("a",)), {"a": None})
        assert holds(Condition(absent=("a",)), {"b": 1})


class TestConfigValue:
    def test_the_top_level_wins_over_text_config(self):
        assert config_value({"n": 1, "text_config": {"n": 2, "m": 3}}, "n") == 1
        assert config_value({"n": 1, "text_config": {"n": 2, "m": 3}}, "m") == 3

    @pytest.mark.parametrize("nested", [None, 3, "text", ["n"]])
    def test_a_text_config_that_is_no_object_is_passed_over(self, nested):
        assert config_value({"text_config": nested}, "n") is None


class TestCountIn:
    def test_takes_the_first_field_that_has_a_number(self):
        assert count_in({"n_ctx": 7, "n_positions": 5}, ("max", "n_positions", "n_ctx")) == 5

    @pytest.mark.parametrize("value", [True, 0, -1, 2.5, "12", None, [3]])
    def test_what_is_no_sensible_count_is_unknown(self, value):
        assert count_in({"n": value}, ("n",)) is None

    def test_a_number_too_long_to_print_is_unknown(self):
        assert count_in({"n": 10**5000}, ("n",)) is None


class TestNameByRules:
    def test_parts_are_joined(self):
        rule = NameRule(parts=(NamePart(text="yi"), NamePart(by="n", table={"32": "_6b"})))
        assert name_by_rules((rule,), {"n": 32}) == "yi_6b"

    def test_a_rule_with_an_unknown_part_is_passed_over(self):
        sized = NameRule(parts=(NamePart(text="yi"), NamePart(by="n", table={"32": "_6b"})))
        plain = NameRule(parts=(NamePart(text="other"),))
        assert name_by_rules((sized, plain), {"n": 33}) == "other"
        assert name_by_rules((sized,), {"n": 33}) is None

    def test_a_case_wins_over_the_table_and_the_table_over_the_text(self):
        part = NamePart(
            cases=(NameCase(where={"n": 32, "v": 9}, text="case"),),
            by="n",
            table={"32": "table"},
            text="rest",
        )
        rules = (NameRule(parts=(part,)),)
        assert name_by_rules(rules, {"n": 32, "v": 9}) == "case"
        assert name_by_rules(rules, {"n": 32}) == "table"
        assert name_by_rules(rules, {"n": 40}) == "rest"

    def test_an_empty_text_is_known(self):
        rule = NameRule(parts=(NamePart(text="yi"), NamePart(by="n", table={"4096": ""})))
        assert name_by_rules((rule,), {"n": 4096}) == "yi"

    @pytest.mark.parametrize(
        ("path", "name"),
        [
            ("THUDM/chatglm3-6b", "chatglm3-6b"),
            ("chatglm3-6b", "chatglm3-6b"),
            ("/data/glm/", "glm"),
            ("a/b c:d", "b-c-d"),
            ("", None),
            ("../..", None),
            (7, None),
        ],
    )
    def test_the_last_part_of_a_path_becomes_a_file_name(self, path, name):
        rule = NameRule(parts=(NamePart(last_path_part_of="p"),))
        assert name_by_rules((rule,), {"p": path}) == name


class TestNameByLayers:
    @pytest.mark.parametrize("field", ["num_hidden_layers", "n_layer", "num_layers", "n_layers"])
    def test_shows_the_layers_whatever_the_family_calls_them(self, field):
        assert name_by_layers("llama", {field: 24}) == "llama_24l"

    def test_is_the_key_alone_when_the_layers_are_unknown(self):
        assert name_by_layers("llama", {"num_hidden_layers": "many"}) == "llama"


@given(st.text())
@example("..")
@example("a" * 500)
@example("模型")
def test_a_safe_name_is_one_portable_path_part(text):
    name = safe_name(text)
    assert len(name) <= LONGEST_NAME
    assert name.isascii()
    assert not set(name) & set('/\\:*?"<>| \n\0')
    assert name not in (".", "..")
    assert safe_name(name) == name
