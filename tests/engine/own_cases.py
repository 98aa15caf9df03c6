"""Networks, losses and data that are no classifier on a pair of tensors, with what they give by hand."""

from types import SimpleNamespace

import torch
from torch import nn
from torch.nn import functional

TOKENS, WIDTH, LENGTH = 11, 8, 5


class Writer(nn.Module):
    """A transformer that predicts the next token, with its embedding tied to its output."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(TOKENS, WIDTH)
        self.place = nn.Parameter(0.3 * torch.randn(LENGTH, WIDTH))
        self.block = nn.TransformerEncoderLayer(WIDTH, 2, 12, dropout=0.3, batch_first=True)
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, TOKENS, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens):
        size = tokens.shape[1]
        mask = torch.full((size, size), float("-inf"), dtype=self.place.dtype).triu(1)
        hidden = self.block(self.embed(tokens) + self.place[:size], src_mask=mask)
        return self.head(self.norm(hidden))


class Named(nn.Module):
    """A classifier that is called by name and returns an object, as Hugging Face's are."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 6), nn.LayerNorm(6), nn.GELU(), nn.Dropout(0.4))
        self.head = nn.Linear(6, 4)

    def forward(self, values, scale=None, labels=None):
        logits = self.head(self.body(values if scale is None else values * scale[:, None]))
        loss = None if labels is None else functional.cross_entropy(logits, labels)
        return SimpleNamespace(loss=loss, logits=logits)


def sequence_loss(outputs, targets):
    return functional.cross_entropy(outputs.transpose(1, 2), targets, reduction="none").mean(1)


def padded_loss(outputs, targets):
    """The sum over tokens that are not padding (0), and their number."""
    losses = functional.cross_entropy(outputs.transpose(1, 2), targets, reduction="none")
    return (losses * (targets != 0)).sum(), (targets != 0).sum()


def right_tokens(outputs, targets):
    return (outputs.argmax(-1) == targets).double().mean(1)


def new(kind, seed=3):
    """A network with fixed random numbers, in float64."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return kind().double()


def sequences(n=7, seed=4):
    tokens = torch.randint(0, TOKENS, (n, LENGTH + 1), generator=torch.Generator().manual_seed(seed))
    return tokens[:, :-1], tokens[:, 1:]


def numbers(n=7, seed=5):
    draws = torch.Generator().manual_seed(seed)
    values = torch.randn(n, 3, generator=draws, dtype=torch.float64)
    scale = torch.rand(n, generator=draws, dtype=torch.float64)
    return {"values": values, "scale": scale, "labels": torch.randint(0, 4, (n,), generator=draws)}


def one_by_one(model, state, examples, loss):
    """The mean of `loss(net, example)` over examples that pass a restored copy alone."""
    import copy

    twin = copy.deepcopy(model)
    twin.load_state_dict(state)
    twin.eval()
    with torch.no_grad():
        values = [float(loss(twin, example)) for example in examples]
    return sum(values) / len(values)
