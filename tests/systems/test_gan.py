"""What the arguments of the systems do, each by its own effect, and what they refuse."""

import itertools
import math

import pytest
import torch
from torch import nn

from course_lib.data import ring
from course_lib.errors import CourseError
from course_lib.losses.games import Game, non_saturating
from course_lib.losses.matching import feature_matching
from course_lib.nets.mlp import Critic, Generator
from course_lib.systems.adagan import AdaGAN
from course_lib.systems.bilinear import BilinearGame
from course_lib.systems.gan import GAN
from course_lib.systems.mad_gan import MADGAN


def small(**options):
    torch.manual_seed(0)
    generator = options.pop("generator", None) or Generator(4, [8], (2,))
    critic = options.pop("critic", None) or Critic((2,), [8])
    return GAN(generator=generator, critic=critic, noise_size=4, **options)


class Watching(nn.Module):
    """A critic that remembers what it was shown."""

    def __init__(self):
        super().__init__()
        self.net, self.seen = Critic((2,), [8]), []

    def forward(self, x):
        self.seen.append(x.detach().clone())
        return self.net(x)


def test_the_defaults_are_the_papers():
    gan = small()
    assert gan.game is non_saturating
    assert gan.critic_steps == 1
    for optimizer in (gan.critic_opt, gan.generator_opt):
        assert type(optimizer) is torch.optim.Adam
        assert optimizer.defaults["lr"] == 2e-4
        assert optimizer.defaults["betas"] == (0.5, 0.999)
    assert small(critic_learning_rate=1e-5).critic_opt.defaults["lr"] == 1e-5
    assert small(critic_learning_rate=1e-5).generator_opt.defaults["lr"] == 2e-4
    assert small(critic_learning_rate=0.0).critic_opt.defaults["lr"] == 0.0  # 0 is a rate, not "not given"


def test_k_critic_steps_cut_the_batch_into_k_minibatches_with_fresh_fakes():
    gan = small(critic=Watching(), critic_steps=3)
    real = torch.randn(12, 2)
    gan.step((real,))
    shown = gan.critic.seen  # real, fake, real, fake, real, fake, and the fakes of the generator's move
    assert [len(x) for x in shown] == [4] * 7
    assert torch.equal(torch.cat(shown[0:6:2]), real)
    fakes = [*shown[1:6:2], shown[6]]
    assert all(not torch.equal(a, b) for a, b in itertools.combinations(fakes, 2))


def test_a_step_is_algorithm_one():
    """One critic step and one generator step, written out with torch alone, leave the same weights, bit for bit."""
    gan, real = small(learning_rate=1e-2), torch.randn(6, 2)
    torch.manual_seed(1)
    gan.step((real,))

    other = small(learning_rate=1e-2)
    torch.manual_seed(1)
    critic_opt = torch.optim.Adam(other.critic.parameters(), lr=1e-2, betas=(0.5, 0.999), fused=True)
    generator_opt = torch.optim.Adam(other.generator.parameters(), lr=1e-2, betas=(0.5, 0.999), fused=True)
    fake = other.generator(torch.randn(6, 4)).detach()
    bce = nn.functional.binary_cross_entropy_with_logits
    critic_opt.zero_grad()
    (bce(other.critic(real), torch.ones(6)) + bce(other.critic(fake), torch.zeros(6))).backward()
    critic_opt.step()
    generator_opt.zero_grad()
    bce(other.critic(other.generator(torch.randn(6, 4))), torch.ones(6)).backward()
    generator_opt.step()
    for a, b in zip(
        (*gan.critic.parameters(), *gan.generator.parameters()),
        (*other.critic.parameters(), *other.generator.parameters()),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_instance_noise_is_on_everything_the_critic_is_shown_and_on_nothing_else():
    gan = small(critic=Watching(), instance_noise=3.0)
    real = torch.zeros(4000, 2)
    gan.step((real,))
    for x in gan.critic.seen:
        assert 2.7 < x.std() < 3.6
    assert gan.sample(100).std() < 1.5
    gan.critic.seen.clear()
    gan.instance_noise = 0.0  # annealed away
    gan.step((real,))
    assert torch.equal(gan.critic.seen[0], real)


def test_feature_matching_descends_the_distance_of_means_and_nothing_of_the_game():
    explode = Game("not to be used", non_saturating.critic, lambda logits: logits.sum() * math.nan)
    gan = small(feature_matching=True, game=explode)
    real = torch.randn(10, 2)
    torch.manual_seed(2)
    loss = gan.generator_loss(10, real=real)
    torch.manual_seed(2)
    fake = gan.generator(gan.noise(10))
    torch.testing.assert_close(loss, feature_matching(gan.critic.features(real), gan.critic.features(fake)))
    assert torch.isfinite(gan.step((real,))["generator"])


def test_labels_reach_both_players_and_fakes_take_the_labels_beside_them():
    seen = []

    class Labelled(nn.Module):
        def __init__(self, net, role):
            super().__init__()
            self.net, self.role, self.classes = net, role, 3

        def forward(self, x, label):
            seen.append((self.role, label.clone()))
            return self.net(x, label)

    generator = Labelled(Generator(4, [8], (2,), classes=3), "generator")
    critic = Labelled(Critic((2,), [8], classes=3), "critic")
    gan = small(generator=generator, critic=critic, conditional=True)
    label = torch.tensor([0, 1, 2, 0])
    gan.step((torch.randn(4, 2), label))
    assert [role for role, _ in seen] == ["generator", "critic", "critic", "generator", "critic"]
    assert all(torch.equal(given, label) for _, given in seen)
    seen.clear()
    gan.sample(300)
    assert sorted(seen[0][1].unique().tolist()) == [0, 1, 2]
    gan.sample(2, torch.tensor([2, 2]))
    assert seen[1][1].tolist() == [2, 2]


def test_without_conditional_a_label_in_the_batch_is_not_looked_at():
    gan = small()
    torch.manual_seed(3)
    a = gan.step((torch.ones(4, 2), torch.tensor([0, 1, 2, 3])))
    gan = small()
    torch.manual_seed(3)
    b = gan.step((torch.ones(4, 2),))
    assert torch.equal(a["critic"], b["critic"])


def test_mixed_batches_are_judged_in_one_pass():
    gan = small(critic=Watching(), mixed=True)
    real = torch.randn(5, 2)
    gan.critic_step(real)
    assert len(gan.critic.seen) == 1
    assert torch.equal(gan.critic.seen[0][:5], real)
    assert len(gan.critic.seen[0]) == 10


def test_sampling_is_in_evaluation_mode_and_leaves_no_trace():
    gan = small(generator=Generator(4, [8], (2,), batch_norm=True))
    mean = gan.generator.body[1].running_mean.clone()
    x = gan.sample(7)
    assert x.shape == (7, 2)
    assert not x.requires_grad
    assert gan.generator.training
    assert torch.equal(gan.generator.body[1].running_mean, mean)


def test_noise_is_gaussian_unless_asked():
    assert small().noise(1000).min() < 0
    uniform = small(draw_noise=torch.rand).noise(1000)
    assert uniform.shape == (1000, 4)
    assert 0 <= uniform.min() <= uniform.max() <= 1


def test_what_cannot_be_played_is_refused():
    with pytest.raises(CourseError, match="at least once"):
        small(critic_steps=0)
    with pytest.raises(CourseError, match="cannot be cut into 3"):
        small(critic_steps=3).step((torch.randn(2, 2),))
    with pytest.raises(CourseError, match="at least one generator"):
        MADGAN(generators=[], critic=Critic((2,), [8], outputs=1), noise_size=4)
    generators = [Generator(4, [8], (2,)) for _ in range(3)]
    with pytest.raises(CourseError, match="each of 3 generators"):
        MADGAN(generators=generators, critic=Critic((2,), [8], outputs=4), noise_size=4).step((torch.randn(2, 2),))
    with pytest.raises(CourseError, match="at least one component"):
        AdaGAN(components=[], arbiter=Critic((2,), [8]), data=torch.randn(9, 2))
    with pytest.raises(CourseError, match="clockwise"):
        BilinearGame(order="clockwise")


def test_mad_gans_generators_take_turns():
    class Constant(nn.Module):
        def __init__(self, value):
            super().__init__()
            self.value = nn.Parameter(torch.full((2,), value))

        def forward(self, noise):
            return self.value.expand(len(noise), 2)

    mad = MADGAN(generators=[Constant(v) for v in (0.0, 1.0, 2.0)], critic=Critic((2,), [8], outputs=4), noise_size=4)
    points, author = mad.sample(7)
    assert author.tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert torch.equal(points[:, 0], author.float())


def test_adagan_sends_its_next_component_where_the_mixture_is_thin():
    """The first component draws one half of the data; an arbiter that knows it sends the second to the other half."""
    torch.manual_seed(0)
    data = torch.cat([torch.zeros(50, 2), torch.ones(50, 2)])
    first, second = small(), small()

    class Knows(nn.Module):
        def __init__(self):
            super().__init__()
            self.slope = nn.Linear(1, 1)  # so that there is something to optimise

        def forward(self, x):
            return torch.where(x[:, 0] > 0.5, 30.0, -math.log(2.0)) + 0 * self.slope(x[:, :1])[:, 0]

    boost = AdaGAN(components=[first, second], arbiter=Knows(), data=data)
    torch.testing.assert_close(boost.weights, torch.full((100,), 0.01))
    boost.advance()
    torch.testing.assert_close(boost.weights, torch.cat([torch.zeros(50), torch.full((50,), 0.02)]))
    shown = []
    second.step = lambda batch: shown.append(batch[0]) or {}
    boost.step((data, torch.arange(100)))
    assert torch.equal(shown[0], torch.ones(100, 2))
    with pytest.raises(CourseError, match="All 2 components"):
        boost.advance()


def test_adagan_starts_a_new_arbiter_and_draws_its_components_equally():
    boost = AdaGAN(components=[small(), small()], arbiter=Critic((2,), [8]), data=ring(8).sample(64)[0])
    boost.arbiter_step((boost.data,))
    before = [p.clone() for p in boost.arbiter.parameters()]
    assert boost.arbiter_opt.state
    boost.advance()
    assert not boost.arbiter_opt.state
    assert all(not torch.equal(a, b) for a, b in zip(before, boost.arbiter.parameters(), strict=True))
    for gan, value in zip(boost.components, (0.0, 1.0), strict=True):
        gan.sample = lambda n, value=value: torch.full((n, 2), value)
    assert 0.4 < boost.sample(1000).mean() < 0.6


@pytest.mark.parametrize("eta", [0.01, 0.1, 1.0])
def test_xy_in_closed_form(eta):
    """Simultaneous: (1 + eta²)^(t/2) from any start. Alternating: an ellipse, x² + y² + eta x y."""
    game = BilinearGame(start=(0.6, -0.8), learning_rate=eta)
    positions = []
    for t in range(1, 51):
        radius = game.step()["radius"]
        positions.append(game.position)
        assert radius.item() == pytest.approx((1 + eta**2) ** (t / 2), rel=1e-12)
    torch.testing.assert_close(game.average, torch.stack(positions).mean(0))
    game = BilinearGame(start=(0.6, -0.8), learning_rate=eta, order="alternating")
    for _ in range(50):
        game.step()
        x, y = game.position.tolist()
        assert x * x + y * y + eta * x * y == pytest.approx(1 - 0.48 * eta, rel=1e-11)


def test_xy_first_moves():
    """A ascends x·y and B descends it: from (1, 0) nothing pulls A, and B goes down."""
    game = BilinearGame(start=(1.0, 0.0), learning_rate=0.5)
    game.step()
    assert game.position.tolist() == [1.0, -0.5]
    game = BilinearGame(start=(0.0, 1.0), learning_rate=0.5, order="alternating")
    game.step()
    assert game.position.tolist() == [0.5, 0.75]
