"""``python -m kalshi_pipelines_tests.tools.mutants.operators run``: run mutmut with more mutants of guards.

mutmut itself changes operators, numbers, names and arguments. This module adds three kinds of changes:

* A condition always or never holds, or one side of an ``and`` or ``or`` is left out.
* A statement is left out, or an error is not raised.
* ``any`` and ``all`` are swapped, and so are ``min`` and ``max``.

The texts of exceptions, log lines, denials and command help are not changed, because a message is no guard.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import Final, cast

import libcst as cst
from mutmut.mutation import file_mutation, mutators

#: Positions of the arguments that are texts for people, by the name of the called function.
_WORDS_AT: Final = {
    "check": (2, 3),
    "Denial": (1,),
    "AnswerVerdict": (1,),
    "_unknown": (1,),
    "_require_text": (1,),
    "print": (0,),
    "_print": (0,),
}
_WORDS_NAMED: Final = frozenset({"detail", "help", "description", "metavar"})
#: Variables that hold a text for people or a list of such texts.
_WORDY: Final = frozenset({"wanted", "why", "wrong"})
#: Functions of the executor that only make a text for people.
_MAKES_TEXT: Final = frozenset({"_amount_text", "_format_error", "_format_number", "_format_price", "_format_range"})
_LOGS: Final = frozenset({"debug", "info", "warning", "error", "exception"})
#: Environment variable. If it is set, no mutants are made that only pass a wrong argument or assign a wrong value. Most
#: mutants are of this kind.
GUARDS_ONLY: Final = "MUTANTS_OF_GUARDS_ONLY"
_OF_VALUES: Final = frozenset(
    {"operator_arg_removal", "operator_assignment", "operator_string", "operator_dict_arguments", "operator_lambda"}
)
_SWAPPED: Final = {"any": "all", "all": "any", "min": "max", "max": "min"}
_TEXT: Final = (cst.SimpleString, cst.FormattedString, cst.ConcatenatedString)


def _branches(node: cst.If) -> Iterator[cst.If]:
    for operator, name in ((cst.And(), "False"), (cst.Or(), "True")):
        whole = node.test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
        test = cst.BooleanOperation(whole, operator, cst.Name(name))
        yield node.with_changes(test=test, whitespace_before_test=cst.SimpleWhitespace(" "))


def _filters(node: cst.CompIf) -> Iterator[cst.CompIf]:
    whole = node.test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
    yield node.with_changes(test=cst.BooleanOperation(whole, cst.Or(), cst.Name("True")))


def _sides(node: cst.BooleanOperation) -> Iterator[cst.BaseExpression]:
    for side in (node.left, node.right):
        yield side.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])


def _left_out(node: cst.Expr) -> Iterator[cst.BaseSmallStatement]:
    if isinstance(node.value, cst.Call) and not _is_log(node.value):
        yield cst.Pass()


def _unraised(node: cst.Raise) -> Iterator[cst.BaseSmallStatement]:
    del node
    yield cst.Pass()


def _swapped(node: cst.Call) -> Iterator[cst.Call]:
    if isinstance(node.func, cst.Name) and node.func.value in _SWAPPED:
        yield node.with_changes(func=cst.Name(_SWAPPED[node.func.value]))


OPERATORS: Final[Sequence[tuple[type, Callable[..., Iterator[cst.CSTNode]]]]] = (
    (cst.If, _branches),
    (cst.CompIf, _filters),
    (cst.BooleanOperation, _sides),
    (cst.Expr, _left_out),
    (cst.Raise, _unraised),
    (cst.Call, _swapped),
)


class WithoutWords(file_mutation.MutationVisitor):
    """Makes all mutants except those that only change a text for people."""

    def on_visit(self, node: cst.CSTNode) -> bool:
        """Before visiting the parts of a call or an error, mark the parts that are texts for people."""
        noted = getattr(self, "_words", None)
        words: dict[int, cst.CSTNode] = {} if noted is None else noted
        self._words = words
        if id(node) in words:
            return False
        if isinstance(node, cst.Call):
            words.update((id(argument), argument) for argument in _text_arguments(node))
        if isinstance(node, cst.Raise) and isinstance(node.exc, cst.Call):
            words.update((id(argument), argument) for argument in node.exc.args if isinstance(argument.value, _TEXT))
        is_text = isinstance(node, cst.Assign) and isinstance(node.value, _TEXT) and _names(node) <= _WORDY
        makes_text = isinstance(node, cst.FunctionDef) and node.name.value in _MAKES_TEXT
        return not is_text and not makes_text and super().on_visit(node)

    def _create_mutations(self, node: cst.CSTNode) -> None:
        before = len(self.mutations)
        super()._create_mutations(node)
        if isinstance(node, cst.Call):
            made = self.mutations[before:]
            self.mutations[before:] = [each for each in made if not self._changes_words(node, each.mutated_node)]

    def _changes_words(self, node: cst.Call, mutated: cst.CSTNode) -> bool:
        left = {id(argument) for argument in cast("cst.Call", mutated).args}
        changed = [argument for argument in node.args if id(argument) not in left]
        is_as_false = len(left) == len(node.args) and all(_is_false(argument) for argument in changed)
        return bool(changed) and (is_as_false or all(id(argument) in self._words for argument in changed))


def _names(node: cst.Assign) -> set[str]:
    return {each.target.value if isinstance(each.target, cst.Name) else "" for each in node.targets}


def _is_false(argument: cst.Arg) -> bool:
    """Return whether an argument is ``False``. In a condition, ``None`` instead has the same effect."""
    return isinstance(argument.value, cst.Name) and argument.value.value == "False"


def _text_arguments(call: cst.Call) -> list[cst.Arg]:
    if _is_log(call):
        return list(call.args)
    if isinstance(call.func, cst.Attribute) and isinstance(call.func.value, cst.Name):
        return [each for each in call.args if call.func.value.value in _WORDY and isinstance(each.value, _TEXT)]
    places = _WORDS_AT.get(call.func.value, ()) if isinstance(call.func, cst.Name) else ()
    return [
        argument
        for place, argument in enumerate(call.args)
        if (argument.keyword.value in _WORDS_NAMED if argument.keyword else place in places)
    ]


def _is_log(call: cst.Call) -> bool:
    function = call.func
    return isinstance(function, cst.Attribute) and (
        isinstance(function.value, cst.Name) and function.value.value == "logger" and function.attr.value in _LOGS
    )


def _is_of_guards(operator: Callable[..., object]) -> bool:
    return operator.__name__ not in _OF_VALUES


if __name__ == "__main__":
    operators = cast("list[tuple[type, Callable[..., Iterator[cst.CSTNode]]]]", mutators.mutation_operators)
    if os.environ.get(GUARDS_ONLY):
        operators[:] = [each for each in operators if _is_of_guards(each[1])]
    operators.extend(OPERATORS)
    file_mutation.MutationVisitor = WithoutWords  # type: ignore[misc]
    # Importing mutmut reads the settings in the working directory, so the import comes last.
    import_module("mutmut.__main__").cli()
