"""The judges of generators: trained once and kept, honest about what they are; what is read from their answers."""

import copy

import pytest
import torch

from course_lib.data import digits
from course_lib.errors import CourseError
from course_lib.metrics import judges
from course_lib.metrics.copying import copying
from course_lib.metrics.frechet import frechet_distance, moments
from course_lib.metrics.inception import inception_score
from course_lib.metrics.judges import Judge, appraise, judge
from course_lib.metrics.labels import label_accuracy
from course_lib.metrics.modes import class_coverage
from course_lib.metrics.neighbours import precision_recall
from course_lib.nets.readers import DigitReader, InceptionReader


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def trained():
    return judges.train_digit_reader(0)


def test_the_digit_reader_reads_and_says_how_well(trained):
    net, accuracy = trained
    images, labels = digits("test")
    reader = Judge(net, name="reader", accuracy=accuracy)
    features, logits = reader(images)
    assert features.shape == (360, 32) and logits.shape == (360, 10) and bool((features >= 0).all())
    assert not features.requires_grad
    assert float((logits.argmax(1) == labels).double().mean()) == pytest.approx(accuracy) and accuracy >= 0.97
    torch.testing.assert_close(logits, net.head(features))


def test_training_draws_from_no_global_generator():
    before = torch.get_rng_state()
    a, _ = judges.train_digit_reader(1, epochs=1)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(77)
    b, _ = judges.train_digit_reader(1, epochs=1)
    c, _ = judges.train_digit_reader(2, epochs=1)
    images = digits("test")[0]
    with torch.no_grad():
        assert torch.equal(a(images)[1], b(images)[1]) and not torch.equal(a(images)[1], c(images)[1])


def test_it_is_trained_once_and_then_from_the_cache(cache, monkeypatch, capsys, trained):
    trainings = []

    def train(seed):
        trainings.append(seed)
        return copy.deepcopy(trained[0]), trained[1]

    monkeypatch.setattr(judges, "train_digit_reader", train)
    images = digits("test")[0]
    first, second = judge("digits", seed=5), judge("digits", seed=5)
    assert trainings == [5]
    assert torch.equal(first(images).logits, second(images).logits) and first.accuracy == second.accuracy
    said = capsys.readouterr().out.splitlines()
    assert "trained in" in said[0] and f"{trained[1]:.1%} of the test digits" in said[0]
    assert "digit reader 5: from" in said[1] and f"{trained[1]:.1%} of the test digits" in said[1]
    judge("digits", seed=6)
    assert trainings == [5, 6]

    (kept,) = (cache / "weights").glob("*-5.pt")
    for damage in (b"", b"no weights", kept.read_bytes()[:1000]):
        kept.write_bytes(damage)
        capsys.readouterr()
        assert torch.equal(judge("digits", seed=5)(images).logits, first(images).logits)
        assert "cannot be read" in capsys.readouterr().out
    assert trainings == [5, 6, 5, 5, 5]


def test_a_cache_that_cannot_be_written_is_said_and_does_not_stop_anybody(tmp_path, monkeypatch, capsys, trained):
    (tmp_path / "file").write_text("a file where a folder should be")
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "file"))
    monkeypatch.setattr(judges, "train_digit_reader", lambda seed: trained)
    assert judge("digits").accuracy == trained[1]
    assert "trained each time" in capsys.readouterr().out


def test_batches_make_no_difference_and_no_images_are_refused(trained):
    net = trained[0]
    images = digits("test")[0][:25]
    whole, parts = Judge(net, name="a")(images), Judge(net, name="b", batch=7)(images)
    for a, b in zip(whole, parts, strict=True):
        torch.testing.assert_close(a, b)
    with pytest.raises(CourseError, match="needs images"):
        Judge(net, name="a")(images[:0])


def test_an_appraisal_is_the_scores_one_by_one(trained):
    reader = Judge(trained[0], name="reader")
    real, fake = digits("train")[0][:300], digits("test")[0][:200]
    said = appraise(reader, real, fake, splits=2)
    x, y = reader(real), reader(fake)
    assert said.score == inception_score(y.logits, splits=2)
    assert said.distance == frechet_distance(x.features, y.features)
    assert (said.precision, said.recall) == precision_recall(x.features[:200], y.features, k=3)
    assert said.classes == 10
    assert appraise(reader, real, fake[:1].expand(200, -1, -1, -1)).recall < 0.1


def test_an_unknown_judge_is_one_sentence():
    with pytest.raises(CourseError, match="no judge 'vgg'; choose digits or inception"):
        judge("vgg")


def test_inception_reads_images_of_any_size_and_its_scores_are_torchvisions():
    from torchvision.models import inception_v3

    torch.manual_seed(0)
    whole = inception_v3(weights=None, aux_logits=True, transform_input=False, init_weights=False).eval()
    reader = InceptionReader().eval()
    reader.load(whole.state_dict())
    images = 2 * torch.rand(2, 3, 299, 299) - 1
    with torch.no_grad():
        features, logits = reader(images)
        torch.testing.assert_close(logits, whole(images))
        assert features.shape == (2, 2048) and reader(images[:1, :1, ::9, ::9])[1].shape == (1, 1000)
    with pytest.raises(CourseError, match=r"\(N, 1 or 3, H, W\), not \(2, 2, 8, 8\)"):
        reader(torch.zeros(2, 2, 8, 8))


def test_inception_without_a_network_is_one_sentence(cache, monkeypatch):
    def no_network(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", no_network)
    with pytest.raises(CourseError, match=r'104 MB.*no route to host.*use judge\("digits"\)'):
        judge("inception")


def test_inception_says_which_weights_it_has(cache, monkeypatch, capsys):
    asked = []

    def load(url, folder, **options):
        asked.append((url, options["check_hash"]))
        state = InceptionReader().net.state_dict()
        return state | {"fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.arange(1000.0)}

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", load)
    reader = judge("inception")
    assert asked == [("https://download.pytorch.org/models/inception_v3_google-0cc3c7bd.pth", True)]
    assert "IMAGENET1K_V1 of torchvision" in capsys.readouterr().out and "IMAGENET1K_V1" in repr(reader)
    assert reader(torch.zeros(1, 1, 8, 8)).logits.argmax().item() == 999


def logits_that_say(classes, k, probability=0.9):
    p = torch.full((len(classes), k), (1 - probability) / (k - 1))
    p[torch.arange(len(classes)), torch.tensor(classes)] = probability
    return p.log()


def test_classes_are_covered_as_modes_are():
    said = class_coverage(logits_that_say([0] * 97 + [1] * 3, 3))
    assert said.modes == 1 and said.good == 1.0 and said.counts.tolist() == [97, 3, 0]
    assert class_coverage(logits_that_say([0] * 96 + [1] * 4, 3)).modes == 2  # due are 100/3, of which a tenth
    assert class_coverage(logits_that_say([0] * 97 + [1] * 3, 3), weights=torch.tensor([3.0, 1, 0])).modes == 2
    assert class_coverage(logits_that_say([0] * 97 + [1] * 3, 3), least=0).modes == 2
    unclear = class_coverage(logits_that_say([0] * 10, 3, probability=0.4))
    assert unclear.modes == 0 and unclear.good == 0
    assert class_coverage(logits_that_say([0] * 10, 3, probability=0.4), sure=0.3).modes == 1
    for wrong, words in ((torch.zeros(3), r"\(3,\)"), (torch.full((2, 3), torch.nan), "NaN")):
        with pytest.raises(CourseError, match=words):
            class_coverage(wrong)
    with pytest.raises(CourseError, match="3 classes and weights"):
        class_coverage(torch.zeros(2, 3), weights=torch.ones(2))


def test_label_accuracy_counts_what_was_asked_for():
    asked = torch.tensor([0, 0, 0, 1])
    said = label_accuracy(logits_that_say([0, 0, 1, 1], 3), asked)
    assert said.overall == 0.75
    assert said.by_class[:2].tolist() == pytest.approx([2 / 3, 1.0]) and bool(said.by_class[2].isnan())
    assert said.confusion.tolist() == [[2, 1, 0], [0, 1, 0], [0, 0, 0]]


def test_labels_that_do_not_fit_are_one_sentence():
    with pytest.raises(CourseError, match=r"\(4, 3\), \(3,\)"):
        label_accuracy(torch.zeros(4, 3), torch.zeros(3, dtype=torch.int64))
    with pytest.raises(CourseError, match="classes 0 to 2; a label is outside"):
        label_accuracy(torch.zeros(4, 3), torch.tensor([0, 1, 2, 3]))
    with pytest.raises(CourseError, match="NaN"):
        label_accuracy(torch.full((1, 3), torch.nan), torch.tensor([0]))


def test_copying_is_a_half_for_new_data_one_for_copies_and_none_for_strangers():
    draws = torch.Generator().manual_seed(0)
    train, held_out, new = torch.randn(3, 400, 4, generator=draws)
    assert copying(train, held_out, new) == pytest.approx(0.5, abs=0.08)  # 4 standard errors of the statistic
    assert copying(train, held_out, train[:50]) == 1.0
    assert copying(1000 + train, 1000 + held_out, 1000 + train[:50]) == 1.0  # distances by differences
    assert copying(train, held_out, new + 100) == 0.0
    assert copying(train, train, train) == 0.5
    assert copying(torch.zeros(1, 1), torch.tensor([[1.0], [2.0]]), torch.tensor([[1.0]])) == 0.75
    with pytest.raises(CourseError, match="held-out points and samples"):
        copying(train, held_out, train[:0])


def test_the_frechet_distance_is_torchmetrics(trained):
    """On the same features, to 1e-3 relative, as issue 5 asks; only where torchmetrics is installed."""
    fid = pytest.importorskip("torchmetrics.image.fid")

    class Features(torch.nn.Module):
        def forward(self, images):
            if images.shape[1:] != (1, 8, 8):  # it is shown a photograph of noise first, to count the features
                return torch.zeros(len(images), 32)
            return trained[0](images)[0].detach()

    real, _ = digits("train")
    noise = 0.3 * torch.randn(360, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    fake = (digits("test")[0] + noise).clamp(-1, 1)
    theirs = fid.FrechetInceptionDistance(feature=Features(), normalize=False)  # images go to the features as they are
    theirs.update(real, real=True)
    theirs.update(fake, real=False)
    reader = Judge(trained[0], name="reader")
    ours = frechet_distance(moments(reader(real).features), moments(reader(fake).features))
    assert ours == pytest.approx(float(theirs.compute()), rel=1e-3)


def test_the_frechet_distance_of_features_is_the_formula_with_scipys_root(trained):
    """The formula as it is usually coded, with a general matrix root, where the covariances have full rank."""
    from scipy.linalg import sqrtm

    reader = Judge(trained[0], name="reader")
    real, _ = digits("train")
    noise = 0.3 * torch.randn(360, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    a, b = (moments(reader(x).features) for x in (real, (digits("test")[0] + noise).clamp(-1, 1)))
    alive = (a.covariance.diagonal() > 1e-6) & (b.covariance.diagonal() > 1e-6)  # a ReLU that never fires has no spread
    c, d = (m.covariance[alive][:, alive].numpy() for m in (a, b))
    expected = float((a.mean - b.mean).square().sum()) + c.trace() + d.trace() - 2 * sqrtm(c @ d).real.trace()
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-4)


def test_the_reader_has_the_shapes_it_says():
    features, logits = DigitReader(width=4, features=7, classes=3)(torch.zeros(2, 1, 8, 8))
    assert features.shape == (2, 7) and logits.shape == (2, 3)
