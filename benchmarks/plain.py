"""The plain way: planes, Hessians and training as such programs are usually written.

It is the baseline that the package is timed against, and an independent oracle for it: nothing here is the package's
but the network. Images are decoded and normalized one by one by a data loader each time they are asked for, the network
runs as it is (eval mode, standard memory layout, nothing fused), weights are set point by point, Hessian-vector
products differentiate twice in reverse, each end of the spectrum has a Lanczos run of its own, and training is the
usual loop.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

Product = Callable[[np.ndarray], np.ndarray]

# Li et al. 2018: moments of CIFAR-10's training pixels
MEAN = (125.3 / 255.0, 123.0 / 255.0, 113.9 / 255.0)
STD = (63.0 / 255.0, 62.1 / 255.0, 66.7 / 255.0)


class Pictures(Dataset):
    """Images kept as bytes; each is decoded, augmented if asked for, and normalized when it is read."""

    def __init__(self, images: torch.Tensor, labels: torch.Tensor, *, augment: bool = False) -> None:
        """Keep images (n, 3, h, w) uint8 as rows of pixels, and their labels."""
        self.pixels = images.permute(0, 2, 3, 1).contiguous().numpy()
        self.labels = labels.tolist()
        shifts = [transforms.RandomCrop(images.shape[-1], padding=4), transforms.RandomHorizontalFlip()]
        clean = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
        self.transform = transforms.Compose([*shifts, *clean] if augment else clean)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        """Return one image as the network takes it, and its label."""
        return self.transform(Image.fromarray(self.pixels[index])), self.labels[index]


def loader(
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    batch_size: int = 128,
    training: bool = False,
    workers: int = 0,
    device: str = "cpu",
) -> DataLoader:
    """Return the usual loader of images (n, 3, h, w) uint8: shuffled and augmented for training."""
    return DataLoader(
        Pictures(images, labels, augment=training),
        batch_size=batch_size,
        shuffle=training,
        num_workers=workers,
        pin_memory=device != "cpu",
    )


def loss_and_accuracy(net: nn.Module, batches: Iterable, *, device: str = "cpu") -> tuple[float, float]:
    """Return mean cross-entropy (nats) and accuracy (fraction) in eval mode."""
    net.eval()
    total, correct, n = 0.0, 0, 0
    with torch.no_grad():
        for images, labels in batches:
            images, labels = images.to(device), labels.to(device)
            outputs = net(images)
            total += functional.cross_entropy(outputs, labels).item() * len(labels)
            correct += outputs.argmax(1).eq(labels).sum().item()
            n += len(labels)
    return total / n, correct / n


def move(net: nn.Module, weights: Sequence, directions: Sequence[Sequence], at: Sequence[float]) -> None:
    """Set the parameters to `weights + x d_x + y d_y`, each a list in the order of the parameters."""
    with torch.no_grad():
        for parameter, start, dx, dy in zip(net.parameters(), weights, *directions, strict=True):
            parameter.copy_(start + (at[0] * dx + at[1] * dy))


def hessian_product(net: nn.Module, batches: Iterable, vector: np.ndarray, *, device: str = "cpu") -> np.ndarray:
    """Return the Hessian of the mean loss over the parameters with more than one dimension, times a vector."""
    net.eval()
    parameters = [p for p in net.parameters() if p.dim() > 1]
    whole = torch.from_numpy(vector).to(device, torch.float32)
    pieces = [
        v.view_as(p) for v, p in zip(torch.split(whole, [p.numel() for p in parameters]), parameters, strict=True)
    ]
    total, n = np.zeros(len(vector)), 0
    for images, labels in batches:
        images, labels = images.to(device), labels.to(device)
        loss = functional.cross_entropy(net(images), labels)
        gradients = torch.autograd.grad(loss, parameters, create_graph=True)
        slope = sum((g * v).sum() for g, v in zip(gradients, pieces, strict=True))
        products = torch.autograd.grad(slope, parameters)
        total += torch.cat([p.reshape(-1) for p in products]).double().cpu().numpy() * len(labels)
        n += len(labels)
    return total / n


def forward_over_reverse(net: nn.Module, batches: Iterable, vector: np.ndarray) -> np.ndarray:
    """Return the same product as `hessian_product`, the gradient's derivative along the vector by forward mode."""
    net.eval()
    parameters = {name: p.detach() for name, p in net.named_parameters() if p.dim() > 1}
    pieces = torch.from_numpy(vector).float().split([p.numel() for p in parameters.values()])
    along = {name: v.view_as(p) for v, (name, p) in zip(pieces, parameters.items(), strict=True)}
    total, n = np.zeros(len(vector)), 0
    for images, labels in batches:

        def loss(weights: dict, images: torch.Tensor = images, labels: torch.Tensor = labels) -> torch.Tensor:
            return functional.cross_entropy(torch.func.functional_call(net, weights, (images,)), labels)

        with warnings.catch_warnings():  # PyTorch's forward mode compiles with what PyTorch advises against
            warnings.simplefilter("ignore", FutureWarning)
            _, products = torch.func.jvp(torch.func.grad(loss), (parameters,), (along,))
        total += torch.cat([products[name].reshape(-1) for name in parameters]).double().detach().numpy() * len(labels)
        n += len(labels)
    return total / n


@dataclass(frozen=True)
class Ends:
    """Both ends of a spectrum, largest first: eigenvalues, unit vectors, and the products that both runs took."""

    values: tuple[float, float]
    vectors: tuple[np.ndarray, np.ndarray]
    products: int


def arpack_ends(product: Product, size: int, *, tolerance: float, rng: np.random.Generator, most: int = 300) -> Ends:
    """Return both ends by two runs of ARPACK from fresh random vectors: the largest, then the far end after a shift.

    `tolerance` is relative to the eigenvalue that a run looks for, and looked at once in about twenty products; `most`
    bounds the restarts.
    """
    spent = 0

    def run(shift: float, which: str) -> tuple[float, np.ndarray]:
        def apply(vector: np.ndarray) -> np.ndarray:
            nonlocal spent
            spent += 1
            return product(vector.ravel()) - shift * vector.ravel()

        operator = LinearOperator((size, size), matvec=apply, dtype=np.float64)
        start = rng.standard_normal(size)
        values, vectors = eigsh(operator, k=1, which=which, tol=tolerance, v0=start, maxiter=most)
        return float(values[0]) + shift, vectors[:, 0]

    high, high_vector = run(0.0, "LA")
    low, low_vector = run(high, "LM")
    return Ends((high, low), (high_vector, low_vector), spent)


def lanczos_ends(product: Product, size: int, *, tolerance: float, rng: np.random.Generator, most: int = 300) -> Ends:
    """Return both ends by two textbook Lanczos runs from fresh random vectors, the second on the negated operator.

    A run stops at the first step whose estimated residual is within `tolerance` times the eigenvalue, for the second
    end times a hundredth of the first where that is more; `most` bounds the products of a run.
    """
    high, high_vector, steps = _lanczos(product, rng.standard_normal(size), tolerance, 0.0, most)
    least = 0.01 * abs(high)
    low, low_vector, more = _lanczos(lambda v: -product(v), rng.standard_normal(size), tolerance, least, most)
    return Ends((high, -low), (high_vector, low_vector), steps + more)


def _lanczos(
    product: Product, start: np.ndarray, tolerance: float, least: float, most: int
) -> tuple[float, np.ndarray, int]:
    """Return the largest eigenvalue, its unit vector and the steps, every new vector made orthogonal to all before."""
    basis = [start / np.linalg.norm(start)]
    diagonal: list[float] = []
    beside: list[float] = []
    while True:
        rest = product(basis[-1])
        diagonal.append(float(basis[-1] @ rest))
        space = np.stack(basis)
        for _ in range(2):
            rest = rest - (space @ rest) @ space
        length = float(np.linalg.norm(rest))
        values, vectors = np.linalg.eigh(np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1))
        value, vector = float(values[-1]), vectors[:, -1]
        small = length * abs(float(vector[-1])) <= tolerance * max(abs(value), least)
        if small or len(basis) in (most, len(start)) or length == 0:
            found = vector @ space
            return value, found / np.linalg.norm(found), len(basis)
        beside.append(length)
        basis.append(rest / length)


WAYS = {"lanczos": lanczos_ends, "arpack": arpack_ends}


def residual(product: Product, value: float, vector: np.ndarray) -> float:
    """Return |H v - value v| of a unit vector."""
    return float(np.linalg.norm(product(vector) - value * vector))


def make_optimizer(net: nn.Module, *, lr: float, weight_decay: float = 5e-4) -> torch.optim.Optimizer:
    """Return Nesterov's SGD as Li et al. 2018 train with, in PyTorch's default implementation."""
    return torch.optim.SGD(net.parameters(), lr=lr, momentum=0.9, nesterov=True, weight_decay=weight_decay)


def train_epoch(net: nn.Module, batches: Iterable, optimizer: torch.optim.Optimizer, *, device: str = "cpu") -> float:
    """Train for one epoch; return the mean of the batches' losses."""
    net.train()
    total, n = 0.0, 0
    for images, labels in batches:
        images, labels = images.to(device), labels.to(device)
        optimizer.zero_grad()
        loss = functional.cross_entropy(net(images), labels)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(labels)
        n += len(labels)
    return total / n
