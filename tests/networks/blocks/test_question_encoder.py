"""Word tables and the recurrent layer."""

import numpy as np
import pytest
import torch

from medpipe.networks.blocks.question_encoder import QuestionEncoder, WordEmbedding


def test_both_tables_are_joined_and_padding_is_zero() -> None:
    torch.manual_seed(0)
    table = WordEmbedding(4, dimensions=3)
    found = table(torch.tensor([[0, 4]]))
    assert found.shape == (1, 2, 6)
    assert torch.equal(found[0, 1], torch.zeros(6))
    assert torch.equal(found[0, 0], torch.cat([table.words.weight[0], table.augmenting.weight[0]]))
    assert WordEmbedding(4, dimensions=3, augmenting=False)(torch.tensor([[0]])).shape == (1, 1, 3)


def test_padding_stays_zero_when_trained() -> None:
    table = WordEmbedding(4, dimensions=3)
    optimizer = torch.optim.SGD(table.parameters(), lr=1.0)
    table(torch.tensor([[0, 4, 4]])).pow(2).sum().backward()
    optimizer.step()
    assert torch.equal(table.words.weight[4], torch.zeros(3))
    assert table.words.weight.grad[0].any()


def test_given_vectors_fill_the_tables_and_the_second_is_a_copy_unless_given() -> None:
    table = WordEmbedding(2, dimensions=3, train_augmenting=False)
    first, second = np.arange(6.0).reshape(2, 3), -np.arange(6.0).reshape(2, 3)
    table.set_tables(first)
    assert torch.equal(table.augmenting.weight[:2], torch.arange(6.0).view(2, 3))
    table.set_tables(first, second)
    assert torch.equal(table(torch.tensor([1])), torch.tensor([[3.0, 4, 5, -3, -4, -5]]))
    assert not table.augmenting.weight.requires_grad
    with pytest.raises(ValueError, match=r"expected word vectors \(2, 3\), found \(3, 3\)"):
        table.set_tables(np.zeros((3, 3)))
    with pytest.raises(ValueError, match="no second table"):
        WordEmbedding(2, dimensions=3, augmenting=False).set_tables(first, second)


@pytest.mark.parametrize(("rnn", "gates"), [("lstm", 4), ("gru", 3)])
def test_a_question_has_a_state_per_place(rnn: str, gates: int) -> None:
    net = QuestionEncoder(6, hidden=5, rnn=rnn)
    assert sum(p.numel() for p in net.parameters()) == gates * 5 * (6 + 5 + 2)
    states = net(torch.randn(2, 12, 6))
    assert states.shape == (2, 12, 5)
    changed = torch.randn(2, 12, 6)
    again = changed.clone()
    again[:, 11] = 0
    assert torch.equal(net(changed)[:, :11], net(again)[:, :11])  # no state knows what comes later


def test_an_unknown_layer_is_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown recurrent layer 'lsmt'.*did you mean 'lstm'"):
        QuestionEncoder(6, rnn="lsmt")
