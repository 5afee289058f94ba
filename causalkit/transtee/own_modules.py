"""Encoders that the user brings: one module, with parameters of its own in every network."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from causalkit.errors import ArgumentError, ArgumentTypeError
from causalkit.module_digest import Reader, differing_parts, plain_parts
from causalkit.transtee.layout import Parameter

if TYPE_CHECKING:
    from torch import Tensor

ROLES = ("action_encoder", "covariate_encoder")


@dataclass(frozen=True, slots=True)
class OwnModule:
    """A module of the user in the place of one of ours.

    Attributes
    ----------
    role : {"action_encoder", "covariate_encoder"}
    module : torch.nn.Module
        In evaluation mode; its own parameters stay as they are and are where training starts.
        Those that need no gradient are not trained, and all networks share them, like buffers.
    digest : str
        Of its layers, code and attributes, without :meth:`state`, as it was given: what a module
        remembers of the rows that it has seen is no part.
    parts : mapping of str to str
        Layers and plain attributes, by which it is told where another differs.
    """

    role: str
    module: Any
    digest: str
    parts: "Mapping[str, str]"

    @classmethod
    def of(cls, role: str, module: Any) -> "OwnModule | None":
        """The module, copied and checked; None stays None.

        Raises
        ------
        ArgumentTypeError
            If it is no module.
        ArgumentError
            If its class has no name by which a saved network can ask for it.
        """
        if module is None:
            return None
        from copy import deepcopy

        from torch import nn

        if not isinstance(module, nn.Module):
            raise ArgumentTypeError(
                f"{role} must be a torch.nn.Module, got a {type(module).__name__}."
            )
        if "<locals>" in type(module).__qualname__:
            raise ArgumentError(
                f"{role} is of the class {type(module).__qualname__}, which is made inside of a "
                "function; define the class in a module, so that a saved network can name it."
            )
        copied = deepcopy(module).eval()
        reader = Reader(lambda part: _state(part) if part is copied else ())
        reader.module(copied)
        return cls(role, copied, reader.digest(), plain_parts(copied))

    @property
    def name(self) -> str:
        """Class of the module, with the place where it is defined."""
        return f"{type(self.module).__module__}.{type(self.module).__qualname__}"

    def trained(self) -> dict[str, Any]:
        """Parameters that are trained."""
        return {n: p.detach() for n, p in self.module.named_parameters() if p.requires_grad}

    def state(self) -> dict[str, Any]:
        """All parameters and buffers, as training finds them."""
        return _state(self.module)

    def take(self, state: "Mapping[str, Tensor]") -> None:
        """Put the state of another copy of the module in the place of its own.

        Raises
        ------
        ArgumentError
            If it does not fit.
        """
        mine = self.state()
        for name in sorted(mine.keys() | state.keys()):
            here, there = (tuple(s[name].shape) if name in s else None for s in (mine, state))
            if here != there:
                raise ArgumentError(
                    f"{self.role} has {name} of shape {here}, and the fit of {there}; pass a "
                    "module that is made like that of the fit."
                )
            mine[name].copy_(state[name])

    def check(self, digest: str, parts: "Mapping[str, str]") -> None:
        """Refuse another module than the one of a fit.

        Raises
        ------
        ArgumentError
            If the digests differ.
        """
        if self.digest != digest:
            raise ArgumentError(
                f"the {self.name} passed as {self.role} differs from that of the fit in "
                f"{differing_parts(parts, self.parts)}; pass the module that was fitted, or fit "
                "anew."
            )

    def blocks(self) -> dict[str, Parameter]:
        """Its trained parameters as blocks of a layout."""
        return {
            f"{self.role}.{name}": Parameter(
                tuple(values.shape), "given", decays=values.dim() > 1, values=values
            )
            for name, values in self.trained().items()
        }

    def tokens(
        self, p: "Mapping[str, Tensor]", inputs: tuple[Any, ...], *, width: int, dims: int
    ) -> "Tensor":
        """Output of every network, ``(M, ...)`` with ``dims`` axes each and the last of the width.

        Parameters
        ----------
        p : mapping
            Parameters of M networks.
        inputs : tuple
            Tensors with a leading axis of M, or of 1 where all networks see the same.

        Raises
        ------
        ArgumentError
            If the module returns another shape.
        """
        import torch
        from torch.func import functional_call

        own = {name: p[f"{self.role}.{name}"] for name in self.trained()}
        n_members = len(next(iter(p.values())))
        self.module.to(next(iter(p.values())).device)
        found = []
        for member in range(n_members):
            mine = {name: values[member] for name, values in own.items()}
            seen = tuple(
                values[member % len(values)] if isinstance(values, torch.Tensor) else values
                for values in inputs
            )
            found.append(functional_call(self.module, mine, seen))
        made = torch.stack(found)
        if made.dim() != dims + 1 or made.shape[-1] != width:
            axes = "(rows, tokens, d_model)" if dims == 3 else "(items, d_model)"
            raise ArgumentError(
                f"{self.role} must return {axes} with d_model={width}, got "
                f"{tuple(found[0].shape)} from {type(self.module).__name__}."
            )
        return made


def _state(module: Any) -> dict[str, Any]:
    found = {n: p.detach() for n, p in module.named_parameters()}
    return found | dict(module.named_buffers())
