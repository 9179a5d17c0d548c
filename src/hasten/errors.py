"""Everything hasten raises on purpose.

    HastenError
    ├── ModelError            a net, its weights or its facts are not what they must be
    │   ├── WeightsError      missing, truncated or misnamed tensors
    │   ├── OutputError       the net returned the wrong shape, or numbers that are not finite
    │   └── StaleArtifact     an artifact was made for other weights or another plan
    ├── PlanError             a sampling programme that cannot be run
    ├── RecipeError           an unreadable, unknown or self-contradicting recipe
    ├── MethodError           a method that cannot be attached here (carries its obstacles)
    │   └── EditOpen          something was asked that is refused while a net is edited
    ├── DataError             unreadable or unsuitable data
    ├── BudgetError           too few samples, trials or minutes for what was asked
    ├── RunError              a run folder that cannot be written or resumed
    └── MissingExtra          an optional dependency is not installed

Every message says what is wrong, where, and what to do about it; the three parts are kept apart so
that the command line can set them on separate lines.
"""

from __future__ import annotations


class HastenError(Exception):
    """Base of the tree above.

    Args:
        what: One sentence: what is wrong.
        where: The file, key, module path or row concerned.
        hint: What the user can do about it.
    """

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        self.what, self.where, self.hint = what, where, hint
        parts = [what, f"where: {where}" if where else "", f"what to do: {hint}" if hint else ""]
        super().__init__("\n  ".join(part for part in parts if part))


class ModelError(HastenError):
    """A net, its weights or its facts are not what they must be."""


class WeightsError(ModelError):
    """Missing, truncated or misnamed tensors."""


class OutputError(ModelError):
    """The net returned the wrong shape, or numbers that are not finite."""


class StaleArtifact(ModelError):
    """An artifact was made for other weights or another plan."""


class PlanError(HastenError):
    """A sampling programme that cannot be run."""


class RecipeError(HastenError):
    """An unreadable, unknown or self-contradicting recipe."""


class MethodError(HastenError):
    """A method that cannot be attached here."""


class EditOpen(MethodError):
    """Something was asked that is refused while a net is edited."""


class DataError(HastenError):
    """Unreadable or unsuitable data."""


class BudgetError(HastenError):
    """Too few samples, trials or minutes for what was asked."""


class RunError(HastenError):
    """A run folder that cannot be written or resumed."""


class MissingExtra(HastenError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"{package} is not installed", hint=f"pip install 'hasten[{extra}]' brings it"
        )


class HastenWarning(UserWarning):
    """Something looks odd, and the work goes on; the command line says it as it says errors."""
