"""The updates of registration networks: plain, distilled by l2, and adversarial."""

from __future__ import annotations

import copy

import pytest
import torch
from ignite.engine import Events
from monai.engines import SupervisedTrainer
from monai.utils import CommonKeys as Keys

from medpipe.engines.batches import pair_batch, registration_batch
from medpipe.engines.steps.aldk import AldkStep, distillation_step
from medpipe.engines.steps.registration import RegistrationStep
from medpipe.losses.aldk import DiscriminatorLoss, FieldDistillationLoss, StudentAdversarialLoss
from medpipe.losses.registration import RegistrationLoss
from medpipe.losses.warped_labels import WarpedLabelLoss
from medpipe.networks.blocks.field_discriminator import FieldDiscriminator
from medpipe.networks.ldr import LDR

SIZE = 32


def batch(seed: int = 0, count: int = 1, **more) -> dict[str, torch.Tensor]:
    numbers = torch.Generator().manual_seed(seed)
    fixed, moving, augmented = (torch.rand(count, 1, SIZE, SIZE, SIZE, generator=numbers) for _ in range(3))
    field = torch.rand(count, 3, SIZE, SIZE, SIZE, generator=numbers)
    return {"fixed": fixed, "moving": moving, "augmented": augmented, "field": field, **more}


def student(seed: int = 0) -> LDR:
    torch.manual_seed(seed)
    network = LDR(SIZE, initial="none", channels=2)
    torch.nn.init.normal_(network.dense[0].flow.weight, std=0.05)
    return network


def trainer(network, step, batches) -> SupervisedTrainer:
    return SupervisedTrainer(
        device="cpu",
        max_epochs=1,
        train_data_loader=batches,
        network=network,
        optimizer=torch.optim.Adam(network.parameters(), 1e-3),
        loss_function=RegistrationLoss(),
        iteration_update=step,
        decollate=False,
    )


def adversary(plain: RegistrationStep | None = None, gamma: float = 0.3, **options) -> AldkStep:
    torch.manual_seed(1)
    network = FieldDiscriminator(SIZE)
    return AldkStep(
        plain or RegistrationStep(),
        discriminator=network,
        optimizer=torch.optim.Adam(network.parameters(), 1e-3),
        student_loss=StudentAdversarialLoss(gamma),
        discriminator_loss=DiscriminatorLoss(),
        **options,
    )


def state(network) -> dict[str, torch.Tensor]:
    return copy.deepcopy(network.state_dict())


def same(one, two) -> bool:
    return all(torch.equal(one[name], two[name]) for name in one)


def test_a_plain_update_is_that_of_a_loop_by_hand() -> None:
    ours, theirs = student(), student()
    data = [batch(seed) for seed in (0, 1)]
    trainer(ours, RegistrationStep(), data).run()
    optimizer, loss = torch.optim.Adam(theirs.parameters(), 1e-3), RegistrationLoss()
    for each in data:
        optimizer.zero_grad()
        loss(theirs(each["fixed"], each["augmented"]), each["fixed"]).backward()
        optimizer.step()
    assert same(ours.state_dict(), theirs.state_dict())


def test_a_given_field_belongs_to_the_moving_image_as_it_is() -> None:
    ours, theirs = student(), student()
    step = RegistrationStep(field_loss=FieldDistillationLoss(), field_weight=2.0, unsupervised_weight=0.0)
    engine = trainer(ours, step, [batch()])
    engine.run()
    optimizer = torch.optim.Adam(theirs.parameters(), 1e-3)
    expected = 2 * (theirs(batch()["fixed"], batch()["moving"]).field - batch()["field"]).square().mean()
    expected.backward()
    optimizer.step()
    assert engine.state.output[Keys.LOSS] == pytest.approx(expected.item(), rel=1e-6)
    for one, two in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-6)


def test_labels_count_with_their_weight_and_are_augmented_with_their_image() -> None:
    labels = (batch(5)["fixed"] > 0.5).int()
    data = batch(fixed_label=labels, moving_label=torch.zeros_like(labels), augmented_label=labels)
    weights = {}
    for weight in (0.0, 1.0, 3.0):
        network = student()
        torch.nn.init.zeros_(network.dense[0].flow.weight)
        engine = trainer(network, RegistrationStep(label_loss=WarpedLabelLoss(), label_weight=weight), [data])
        engine.run()
        weights[weight] = engine.state.output
    assert "labels" not in weights[0.0]["parts"]
    assert float(weights[1.0]["parts"]["labels"]) == pytest.approx(0, abs=1e-4)  # the augmented labels coincide
    data["augmented_label"] = torch.zeros_like(labels)
    engine = trainer(student(), RegistrationStep(label_loss=WarpedLabelLoss(), label_weight=3.0), [data])
    engine.run()
    parts = engine.state.output["parts"]
    assert float(parts["labels"]) == pytest.approx(1, abs=1e-3)
    assert float(engine.state.output[Keys.LOSS]) == pytest.approx(float(parts["unsupervised"] + 3 * parts["labels"]))


def test_the_gradient_can_be_bounded() -> None:
    network = student()
    trainer(network, RegistrationStep(clip=1e-3), [batch()]).run()
    norm = torch.stack([p.grad.norm() for p in network.parameters() if p.grad is not None]).norm()
    assert float(norm) == pytest.approx(1e-3, rel=1e-3)


def test_adversarial_iterations_come_every_third_after_the_warm_up_and_until_the_last() -> None:
    step = adversary(adv_every=3, adv_warmup=4, adv_until=12)
    assert [number for number in range(1, 20) if step.is_adversarial(number)] == [6, 9, 12]


def test_the_discriminator_is_unchanged_by_reconstruction_iterations() -> None:
    step, network = adversary(), student()
    before, weights = state(step.discriminator), []
    engine = trainer(network, step, [batch(seed) for seed in range(3)])
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda _: weights.append(state(step.discriminator)))
    engine.run()
    assert same(weights[0], before)
    assert same(weights[1], before)
    assert not same(weights[2], before)
    assert "discriminator" in engine.state.output["parts"]


@pytest.mark.parametrize("gamma", [1.0, 0.3])
def test_with_gamma_1_and_only_then_the_student_is_trained_as_without_a_teacher(gamma) -> None:
    data = [{name: volume for name, volume in batch(seed).items() if name != "augmented"} for seed in range(4)]
    plain, distilled = student(), student()
    trainer(plain, RegistrationStep(), data).run()
    trainer(distilled, adversary(gamma=gamma, adv_every=2), data).run()
    assert same(plain.state_dict(), distilled.state_dict()) == (gamma == 1.0)


def test_the_field_of_a_pair_that_has_none_does_not_count() -> None:
    given = torch.tensor([True, False])
    results = []
    for absent in (0.0, float("nan")):
        data = batch(count=2, field_given=given)
        data["field"][1] = absent
        network, step = student(), adversary(adv_every=1)
        trainer(network, step, [data]).run()
        results.append((state(network), state(step.discriminator)))
    assert same(results[0][0], results[1][0])
    assert same(results[0][1], results[1][1])
    assert all(bool(value.isfinite().all()) for value in results[1][0].values())


def test_teacher_fields_are_not_changed() -> None:
    data = batch()
    before = data["field"].clone()
    trainer(student(), adversary(adv_every=1), [data]).run()
    assert torch.equal(data["field"], before)


def test_adversarial_iterations_use_the_moving_image_as_it_is() -> None:
    results = []
    for augmented in (0.0, 1.0):
        data, network = batch(), student()
        data["augmented"] = torch.full_like(data["augmented"], augmented)
        trainer(network, adversary(adv_every=1), [data]).run()
        results.append(state(network))
    assert same(*results)


def test_the_discriminator_needs_its_gradients_again_afterwards() -> None:
    step = adversary(adv_every=1)
    trainer(student(), step, [batch()]).run()
    assert all(parameter.requires_grad for parameter in step.discriminator.parameters())


def test_a_step_is_chosen_by_its_name() -> None:
    plain = RegistrationStep(clip=1.0)
    options = {
        "reconstruction": plain,
        "field_loss": FieldDistillationLoss(),
        "field_weight": 0.5,
        "adversarial": adversary,
    }
    assert distillation_step("none", **options) is plain
    l2 = distillation_step("l2", **options)
    assert (l2.field_weight, l2.clip) == (0.5, 1.0)
    assert distillation_step("aldk", **options).plain is plain
    with pytest.raises(ValueError, match="none, l2, aldk, found 'l3'"):
        distillation_step("l3", **options)


def test_wrong_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="adv_every must be at least 1"):
        adversary(adv_every=0)
    with pytest.raises(ValueError, match="not by both"):
        adversary(RegistrationStep(field_loss=FieldDistillationLoss()))
    with pytest.raises(ValueError, match="weights must not be negative"):
        RegistrationStep(label_weight=-1)


def test_a_batch_without_fields_has_none_given() -> None:
    data = {name: volume for name, volume in batch(count=2).items() if name != "field"}
    prepared = pair_batch(data)
    assert prepared["field_given"].tolist() == [False, False]
    assert prepared["field"].shape == (2, 3, SIZE, SIZE, SIZE)
    assert pair_batch(batch(count=2))["field_given"].tolist() == [True, True]


def test_evaluators_get_fixed_and_moving_as_the_network_takes_them() -> None:
    fixed, targets, (moving,), options = registration_batch(batch())
    assert torch.equal(fixed, batch()["fixed"])
    assert torch.equal(moving, batch()["moving"])
    assert torch.equal(targets["moving"], moving)
    assert options == {}


@pytest.mark.parametrize("given", [True, False])
def test_pairs_without_a_field_are_augmented_though_others_are_distilled(given) -> None:
    results = []
    for augmented in (0.0, 1.0):
        data, network = batch(field_given=torch.tensor([given])), student()
        data["augmented"] = torch.full_like(data["augmented"], augmented)
        trainer(network, RegistrationStep(field_loss=FieldDistillationLoss()), [data]).run()
        results.append(state(network))
    assert same(*results) == given
