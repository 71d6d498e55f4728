"""What scikit-learn asks of every estimator, without scikit-learn: arguments in, arguments out."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from typing import Any, Self


class NotFittedError(ValueError, AttributeError):
    """An estimator was used before it was fitted; scikit-learn's own error where that is loaded."""


def of_sklearn(name: str, own: Any) -> Any:
    """Return scikit-learn's exception or warning of a name where that is loaded, else our own."""
    return getattr(sys.modules.get("sklearn.exceptions"), name, own)


@dataclass(kw_only=True, repr=False, eq=False)
class Estimator:
    """Arguments by name, stored as they came: `fit` checks them. What it learns ends with an underscore."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002
        """Return the arguments of the constructor by name; none holds others, so that `deep` says nothing."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def set_params(self, **params: Any) -> Self:
        """Change arguments of the constructor; they count from the next `fit` on.

        Raises
        ------
        ValueError
            If there is no argument of a name; then none is changed.
        """
        known = [field.name for field in fields(self)]
        for name in params:
            if name not in known:
                must = f"`set_params` takes the arguments of {type(self).__name__}: {', '.join(known)}"
                msg = f"{must}; got {name!r}."
                raise ValueError(msg)
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        """Write the call that builds it, without what is as by default."""
        given = ((field, getattr(self, field.name)) for field in fields(self))
        told = [f"{field.name}={value!r}" for field, value in given if repr(value) != repr(field.default)]
        return f"{type(self).__name__}({', '.join(told)})"

    def __sklearn_is_fitted__(self) -> bool:
        """Return whether `fit` has been called."""
        return hasattr(self, "params_")

    def _check_fitted(self) -> None:
        """Refuse to be used before `fit`."""
        if self.__sklearn_is_fitted__():
            return
        error: type[Exception] = of_sklearn("NotFittedError", NotFittedError)
        msg = f"This {type(self).__name__} is not fitted yet: call `fit` first, or `load` one from a file."
        raise error(msg)

    def _tags(self, kind: str | None = None, *, required: bool = True, **more: Any) -> Any:
        """Return what scikit-learn asks to be told of an estimator."""
        from sklearn.utils import Tags, TargetTags

        return Tags(estimator_type=kind, target_tags=TargetTags(required=required), **more)
