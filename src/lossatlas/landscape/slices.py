"""Curvatures of random slices through a small network beside its whole spectrum (Li et al. 2018, section 6)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats
from torch import Tensor
from torch.func import grad, jacrev, vjp, vmap
from torch.nn import functional

from lossatlas.engine.evaluator import Examples
from lossatlas.randomness import generator
from lossatlas.results import Floats

Loss = Callable[[Tensor], Tensor]

# Hessian-vector products computed at once
_CHUNK = 64


@dataclass(frozen=True)
class SmallNetwork:
    """A network of one hidden layer of tanh, float64, as a function of one vector of weights.

    The last class has the logit 0: softmax sees differences of logits only, and with one output per class the Hessian
    would have zero eigenvalues whatever the weights are.

    Attributes:
        inputs: (n, features) float64.
        labels: (n,) class indices.
        hidden: number of hidden units.
        classes: number of classes.
    """

    inputs: Tensor
    labels: Tensor
    hidden: int
    classes: int

    @property
    def size(self) -> int:
        """The number of weights and biases."""
        return (self.inputs.shape[1] + 1) * self.hidden + (self.hidden + 1) * (self.classes - 1)

    def initial(self, *, seed: int) -> Tensor:
        """Return weights (size,): normal with variance 1 / inputs of a unit, zero biases."""
        draws = generator(seed, "init")
        first, second = (
            torch.randn(rows, columns, generator=draws, dtype=torch.float64) / columns**0.5
            for rows, columns in ((self.hidden, self.inputs.shape[1]), (self.classes - 1, self.hidden))
        )
        parts = (functional.pad(weight, (0, 1)).reshape(-1) for weight in (first, second))
        return torch.cat([*parts])

    def loss(self, weights: Tensor) -> Tensor:
        """Return the mean cross-entropy, nats per example, at weights (size,)."""
        features = self.inputs.shape[1]
        first, second = torch.split(weights, [(features + 1) * self.hidden, (self.hidden + 1) * (self.classes - 1)])
        first, second = first.view(self.hidden, features + 1), second.view(self.classes - 1, self.hidden + 1)
        maps = torch.tanh(self.inputs @ first[:, :-1].T + first[:, -1])
        logits = functional.pad(maps @ second[:, :-1].T + second[:, -1], (0, 1))
        return functional.cross_entropy(logits, self.labels)


def small_network(examples: Examples, *, pool: int, hidden: int, classes: int) -> SmallNetwork:
    """Return a small network for images: means of the channels, averaged to `pool` x `pool` pixels.

    Args:
        examples: normalized images (n, channels, h, w) and labels (n,).
        pool: side of the averaged images.
        hidden: number of hidden units.
        classes: number of classes, at least 2.

    Raises:
        ValueError: `pool` is larger than the images, or there are fewer than two classes.
    """
    images, labels = examples
    if pool > min(images.shape[2:]) or classes < 2:
        raise ValueError(
            f"pool = {pool} with {classes} classes is impossible for images of {tuple(images.shape[2:])} pixels; "
            f"choose a pool of 1 to {min(images.shape[2:])} and at least 2 classes"
        )
    grey = images.to(torch.float64).mean(1, keepdim=True)
    return SmallNetwork(functional.adaptive_avg_pool2d(grey, pool).flatten(1), labels, hidden, classes)


def descend(loss: Loss, start: Tensor, *, steps: int) -> Tensor:
    """Return the weights after at most `steps` steps of L-BFGS on the whole loss, from `start` (n,)."""
    weights = start.clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [weights], max_iter=steps, tolerance_grad=0.0, tolerance_change=0.0, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(weights)
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return weights.detach()


def spectrum(loss: Loss, weights: Tensor) -> Floats:
    """Return all eigenvalues of the dense Hessian at `weights`, ascending, (n,)."""
    dense = jacrev(grad(loss))(weights)
    values: Floats = torch.linalg.eigvalsh((dense + dense.T) / 2).numpy()
    return values


def products(loss: Loss, weights: Tensor, vectors: Tensor) -> Tensor:
    """Return the Hessian times each row of `vectors` (k, n), without the matrix."""
    # the Hessian is symmetric: its products from the left are those from the right
    product = vjp(grad(loss), weights)[1]
    return torch.cat([vmap(product)(chunk)[0] for chunk in torch.split(vectors, _CHUNK)])


def measured_curvatures(loss: Loss, weights: Tensor, *, directions: int, seed: int) -> Floats:
    """Return d'Hd / d'd along random Gaussian directions, (directions,)."""
    draws = _normal(directions, len(weights), seed=seed, stream="directions")
    values: Floats = ((draws * products(loss, weights, draws)).sum(1) / draws.square().sum(1)).numpy()
    return values


def weighted_curvatures(eigenvalues: Floats, *, directions: int, seed: int) -> Floats:
    """Return averages of the eigenvalues with chi-square weights, (directions,).

    In the basis of eigenvectors a Gaussian direction has independent normal coordinates z_i, so its curvature is
    d'Hd / d'd = sum_i lambda_i z_i^2 / sum_i z_i^2 with z_i^2 chi-square of one degree of freedom. The z_i are drawn
    from a stream of their own: the two kinds agree in distribution, not draw by draw.
    """
    chi = _normal(directions, len(eigenvalues), seed=seed, stream="weights").square().numpy()
    values: Floats = chi @ eigenvalues / chi.sum(1)
    return values


def slice_curvatures(loss: Loss, weights: Tensor, *, slices: int, seed: int) -> tuple[Floats, Floats]:
    """Return the smaller and the larger principal curvature of random two-dimensional slices, each (slices,).

    A slice is spanned by two Gaussian directions, made orthonormal. By Cauchy's interlacing its curvatures lie within
    the full spectrum: a slice that is not convex proves a negative eigenvalue.
    """
    draws = _normal(2 * slices, len(weights), seed=seed, stream="slices").view(slices, 2, -1)
    basis = torch.linalg.qr(draws.mT).Q.mT
    images = products(loss, weights, basis.reshape(2 * slices, -1)).view_as(basis)
    forms = basis @ images.mT
    low, high = torch.linalg.eigvalsh((forms + forms.mT) / 2).T.numpy()
    return low, high


def rounding_of(eigenvalues: Floats) -> float:
    """Return how far the computed eigenvalues of an (n, n) matrix may be off: n roundings of the largest."""
    return len(eigenvalues) * float(np.finfo(np.float64).eps * np.abs(eigenvalues).max())


def full_condition(eigenvalues: Floats) -> float:
    """Return max |lambda| / min |lambda|, with the eigenvalues' rounding added to the denominator: a lower bound."""
    sizes = np.abs(eigenvalues)
    return float(sizes.max() / (sizes.min() + rounding_of(eigenvalues)))


def slice_conditions(low: Floats, high: Floats) -> Floats:
    """Return the larger over the smaller principal curvature of each slice, in absolute value, (slices,)."""
    sizes = np.sort(np.abs([low, high]), axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios: Floats = sizes[1] / sizes[0]
    return ratios


def same_distribution(first: Floats, second: Floats) -> float:
    """Return the p-value of the two-sample Kolmogorov-Smirnov test that both have one distribution."""
    return float(stats.ks_2samp(first, second, method="asymp").pvalue)


def _normal(rows: int, columns: int, *, seed: int, stream: str) -> Tensor:
    return torch.randn(rows, columns, generator=generator(seed, stream), dtype=torch.float64)
