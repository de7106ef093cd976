"""The engine on a GPU: the fast path against the plain one, and against the CPU."""

import copy

import pytest
import torch
from small_cohort import IMAGES, RECIPE, assert_same, cohort_step, splits, students, trained, training_on

from vicinal.models import build_model
from vicinal.models.registry import architecture
from vicinal.training.batch_plan import batch_plan
from vicinal.training.cuda_graph import ReplayedStep
from vicinal.training.fused import FusedNetwork
from vicinal.training.inputs import EpochTables, make_batch, to_device
from vicinal.training.learner import make_learner
from vicinal.training.loop import Callbacks, Moment, logits_on, train
from vicinal.training.memory import release_memory
from vicinal.training.numerics import Numerics
from vicinal.training.step import Training

pytestmark = pytest.mark.gpu
FP32, BF16 = Numerics("fp32"), Numerics("bf16")
EAGER = Numerics("fp32", graph=False)
EPOCHS = {**RECIPE, "epochs": 8}
STEPS = 50


@pytest.fixture(autouse=True)
def _switches():
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.use_deterministic_algorithms(False)


def losses(numerics, device="cuda", temperatures=(1.0, 4.0), said=None):
    """Return the losses of the first steps, (steps, learners)."""
    learners, seen, held = students(device, temperatures, EPOCHS), [], []

    def on_step(moment: Moment):
        held[:] = [moment.losses]
        if moment.step == len(moment.losses):
            seen.append(moment.losses.cpu().clone())

    callbacks = Callbacks(on_step=on_step, say=(said if said is not None else []).append)
    train(learners, training_on(device, numerics, EPOCHS), callbacks=callbacks)
    return torch.cat(seen)[:STEPS]


def test_both_devices_see_the_same_batches():
    plan = batch_plan(IMAGES, 16, seed=3, epoch=0, alpha=1.0, crop_padding=1, flip=True)
    for bounds in plan.bounds:
        here, batches = slice(*bounds), []
        for device in ("cpu", "cuda"):
            tables = EpochTables(plan, torch.device(device))
            batches.append(make_batch(splits(device)["train"], tables, here, RECIPE, mixed=True))
        torch.testing.assert_close(batches[0].inputs, batches[1].inputs.cpu())
        assert torch.equal(batches[0].labels, batches[1].labels.cpu())


def test_a_graph_gives_the_losses_of_the_eager_step():
    said = []
    eager, graph = losses(EAGER), losses(FP32, said=said)
    assert not said, "a graph was given up"
    torch.testing.assert_close(graph, eager, rtol=1e-5, atol=1e-5)


def test_the_first_losses_in_fp32_are_those_of_the_cpu():
    torch.testing.assert_close(losses(EAGER)[:14], losses(FP32, "cpu")[:14], rtol=2e-3, atol=1e-4)


def test_bf16_changes_losses_by_its_rounding_alone():
    said = []
    rounded = losses(BF16, said=said)
    assert not said, "a graph was given up"
    # 8 significant bits, 0.4 % a number, over 50 steps
    torch.testing.assert_close(rounded, losses(EAGER), rtol=0.03, atol=0.03)


def test_students_learn_in_company_what_they_learn_alone():
    """To the bit, in deterministic mode: else a GPU adds up in another order each time, and training amplifies that."""
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    numerics = Numerics("fp32", deterministic=True)
    temperatures = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 16.0, "std")
    together = losses(numerics, temperatures=temperatures)
    for position, temperature in enumerate(temperatures):
        alone = losses(numerics, temperatures=(temperature,))
        assert torch.equal(together[:, position], alone[:, 0]), temperature


def test_fused_convolutions_of_the_teacher_are_used_and_give_its_answers(capfd):
    images = splits("cuda")["train"].clean(slice(64))
    model = build_model(architecture("resnet14"), 10, 1)
    expected = EAGER.freeze(copy.deepcopy(model).to("cuda"))(images)
    teacher = BF16.freeze(to_device(model, torch.device("cuda")))
    with torch.no_grad(), BF16.autocast(torch.device("cuda")):
        answers = [teacher(images).float() for _ in range(2)]  # the first call compares
    assert isinstance(teacher, FusedNetwork)
    assert "not fused" not in capfd.readouterr().out
    assert torch.equal(answers[0], answers[1])
    torch.testing.assert_close(answers[1], expected, rtol=0.05, atol=0.05 * expected.abs().max().item())


def test_a_short_training_ends_where_the_cpu_ends():
    recipe = {**RECIPE, "epochs": 40, "lr": 0.1, "flip": False, "milestones": [0.75]}
    accuracies = {}
    for device, numerics in (("cpu", FP32), ("cuda", BF16)):
        data = splits(device)
        of_device = []
        for seed in range(3):
            spec = {
                "stage": "student",
                "model": architecture("resnet8"),
                "recipe": recipe,
                "seed": seed,
                "loss": {"ce_weight": 1},
            }
            learner = make_learner("teacher", spec, data["train"])
            train([learner], Training(data["train"], data["validation"], recipe, seed, numerics=numerics))
            of_device.append((logits_on(learner.model, data["train"]).argmax(1) == data["train"].labels).float().mean())
        accuracies[device] = torch.stack([value.cpu() for value in of_device])
    spread = max(0.03, 2 * accuracies["cpu"].std().item())
    assert abs(accuracies["cpu"].mean() - accuracies["cuda"].mean()) < spread


def test_no_step_waits_for_the_device():
    learners = students("cuda")
    step, sizes = cohort_step(learners, BF16, "cuda")
    run = ReplayedStep(step, pytest.fail)
    for _ in range(5):
        step.begin([0.05] * len(sizes))
        for size in sizes:
            run(size)  # captures, which waits
    step.begin([0.05] * len(sizes))
    torch.cuda.set_sync_debug_mode("error")
    try:
        for runner in (run, step):
            for size in sizes:
                runner(size)
            step._number.zero_()
            step._position.zero_()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_deterministic_runs_are_equal_bit_for_bit_and_after_a_stop_too():
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    numerics = Numerics("bf16", deterministic=True)
    first, second = (trained(numerics, "cuda") for _ in range(2))
    assert_same(first, second)

    stopped, moment = [], Moment()

    class StopError(Exception):
        pass

    def stop(now):
        if (now.epoch, now.step) == (1, 3):
            stopped.append(copy.deepcopy((now, [(x.model.state_dict(), x.optimizer.buffers) for x in learners])))
            raise StopError

    learners, training = students("cuda"), training_on("cuda", numerics)
    with pytest.raises(StopError):
        train(learners, training, moment, Callbacks(on_step=stop))
    [(moment, states)] = stopped
    again = students("cuda")
    for learner, old, (state, momentum) in zip(again, learners, states, strict=True):
        learner.model.load_state_dict(state)
        learner.optimizer.load(momentum)
        learner.history = old.history
    train(again, training, moment)
    assert_same(first, again)


def test_compiled_networks_learn_the_same():
    said = []
    torch.testing.assert_close(losses(Numerics("fp32", compile="on"), said=said), losses(EAGER), rtol=2e-3, atol=1e-3)
    assert not said


def test_memory_that_runs_out_is_found_again():
    """A cohort that is too large fails, and what it took is free for a smaller one (as training/cohort.py does)."""
    data = splits("cuda")
    release_memory()
    total = torch.cuda.get_device_properties(0).total_memory
    # Enough for cuBLAS, which takes 32 MiB for each stream, and for the small cohort.
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 2**30) / total)
    try:
        with pytest.raises(torch.OutOfMemoryError):
            recipe = {**RECIPE, "batch_size": 104}
            spec = {
                "stage": "student",
                "model": architecture("wrn_40_2"),
                "recipe": recipe,
                "seed": 0,
                "loss": {"ce_weight": 1},
            }
            learners = [make_learner(f"{k}", spec, data["train"]) for k in range(64)]
            train(learners, Training(data["train"], data["validation"], recipe, seed=0, numerics=BF16))
        learners = None
        release_memory()
        assert trained(BF16, "cuda")[0].diverged is None
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
