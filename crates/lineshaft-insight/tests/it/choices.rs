use fastrand::Rng;
use lineshaft_insight::{Choice, Event, Pick, Purpose, Standing, Unreadable};
use proptest::prelude::*;

/// Implementations with these medians, in seconds, and log-normal noise.
struct World {
    choice: Choice,
    medians: Vec<f64>,
    sigma: f64,
    rng: Rng,
    /// Seconds that were spent, and that the best would have taken.
    spent: f64,
    least: f64,
}

impl World {
    fn new(medians: &[f64], sigma: f64, seed: u64) -> Self {
        let choice = Choice::new(medians.len());
        Self { choice, medians: medians.to_vec(), sigma, rng: Rng::with_seed(seed), spent: 0.0, least: 0.0 }
    }

    fn run(&mut self) -> (Pick, Option<Event>) {
        let pick = self.choice.pick(0, self.rng.f64());
        let seconds = self.medians[pick.number] * (self.sigma * self.normal()).exp();
        let seconds = pick.limit_s.map_or(seconds, |limit| seconds.min(limit));
        self.spent += seconds;
        self.least +=
            self.medians.iter().copied().fold(f64::INFINITY, f64::min) * (self.sigma.powi(2) / 2.0).exp();
        (pick, self.choice.ran(pick, seconds))
    }

    /// Box and Muller.
    fn normal(&mut self) -> f64 {
        let (one, other) = (1.0 - self.rng.f64(), self.rng.f64());
        (-2.0 * one.ln()).sqrt() * (std::f64::consts::TAU * other).cos()
    }

    /// Runs until the trial is over; how many it took.
    fn settle(&mut self) -> usize {
        (1..=1_000).find(|_| matches!(self.run().1, Some(Event::Chosen(_)))).expect("a trial ends")
    }
}

const ORDERS: [[f64; 3]; 4] = [[1.0, 1.5, 3.0], [3.0, 1.0, 1.5], [1.5, 3.0, 1.0], [2.0, 1.0, 2.0]];

#[test]
fn the_best_of_three_is_chosen_within_twelve_runs() {
    let mut right = 0;
    for seed in 0..1_000 {
        let medians = ORDERS[seed as usize % 4].map(|median| median * 1e-3);
        let mut world = World::new(&medians, 0.1, seed);
        assert!(world.settle() <= 12);
        right += usize::from(medians[world.choice.best().expect("chosen")] < 1.1e-3);
    }
    assert!(right >= 995, "{right} of 1,000");
}

#[test]
fn a_thousand_runs_cost_hardly_more_than_those_of_the_best() {
    let regrets: Vec<f64> = (0..200)
        .map(|seed| {
            let mut world = World::new(&ORDERS[seed as usize % 4], 0.2, seed);
            (0..1_000).for_each(|_| {
                world.run();
            });
            world.spent / world.least - 1.0
        })
        .collect();
    let mean = regrets.iter().sum::<f64>() / regrets.len() as f64;
    assert!(mean <= 0.05, "{mean}");
}

#[test]
fn who_is_far_slower_runs_once_or_twice() {
    let mut world = World::new(&[1.0, 100.0, 5.0], 0.1, 1);
    (0..1_000).for_each(|_| {
        world.run();
    });
    let runs: Vec<u64> = world.choice.outlines().iter().map(|outline| outline.runs).collect();
    assert_eq!(runs[1], 1);
    assert!(world.spent / world.least < 1.25, "{}", world.spent / world.least);
}

#[test]
fn a_best_that_becomes_slower_is_noticed() {
    let mut late = 0;
    for seed in 0..200 {
        let mut world = World::new(&[2.0, 1.0, 3.0], 0.1, seed);
        (0..500).for_each(|_| {
            world.run();
        });
        world.medians[1] = 4.0;
        late += usize::from(!(0..200).any(|_| world.run().1 == Some(Event::Slower(1))));
        world.settle();
        assert_eq!(world.choice.best(), Some(0));
    }
    assert_eq!(late, 0);
}

#[test]
fn another_one_that_becomes_faster_is_noticed() {
    let mut runs: Vec<usize> = (0..200)
        .map(|seed| {
            let mut world = World::new(&[2.0, 1.0], 0.1, seed);
            (0..500).for_each(|_| {
                world.run();
            });
            world.medians[0] = 0.5;
            (1..100_000).find(|_| world.run().1 == Some(Event::Faster(0))).expect("some time")
        })
        .collect();
    runs.sort_unstable();
    assert!(runs[100] <= 200, "half of them after {}", runs[100]);
}

/// The turn stayed with the first one for which there was no time, and nobody else was looked at again.
#[test]
fn one_that_is_too_slow_to_be_looked_at_keeps_nobody_from_his_turn() {
    let mut world = World::new(&[1.0e-3, 10.0, 1.1e-3], 0.01, 7);
    world.settle();
    (0..500).for_each(|_| {
        world.run();
    });
    world.medians[2] = 0.5e-3;
    assert!((0..5_000).any(|_| world.run().1 == Some(Event::Faster(2))));
    world.settle();
    assert_eq!(world.choice.best(), Some(2));
}

/// Each new trial ran it again, outside of the part of all time that this may take.
#[test]
fn one_that_is_far_slower_is_in_no_new_trial() {
    let (mut trials, mut looked) = (0, 0.0);
    let mut world = World::new(&[1.0e-3, 1.0, 1.5e-3], 0.05, 8);
    world.settle();
    let before = world.spent;
    for round in 0..40 {
        world.medians[0] = [2.0e-3, 1.0e-3][round % 2];
        for _ in 0..500 {
            let spent = world.spent;
            let (pick, event) = world.run();
            trials += usize::from(matches!(event, Some(Event::Slower(_) | Event::Faster(_))));
            if pick.purpose != Purpose::Best {
                looked += world.spent - spent;
            }
        }
    }
    assert!(trials >= 20, "{trials}");
    assert!(world.choice.outlines()[1].runs <= 2);
    assert!(looked / (world.spent - before) < 0.1, "{looked} of {}", world.spent - before);
}

#[test]
fn one_that_was_far_slower_and_is_the_fastest_now_is_chosen() {
    let mut world = World::new(&[1.0, 20.0, 1.2], 0.05, 9);
    world.settle();
    (0..500).for_each(|_| {
        world.run();
    });
    world.medians[1] = 0.5;
    assert!((0..5_000).any(|_| world.run().1 == Some(Event::Faster(1))));
    world.settle();
    assert_eq!(world.choice.best(), Some(1));
}

#[test]
fn a_steady_best_is_left_alone() {
    let mut trials = 0;
    for seed in 0..50 {
        let mut world = World::new(&[1.0, 1.5], 0.3, seed);
        world.settle();
        trials += (0..2_000).filter(|_| matches!(world.run().1, Some(Event::Slower(_)))).count();
    }
    assert!(trials <= 25, "{trials} new trials in 100,000 runs");
}

#[test]
fn looks_are_rare_and_cheap() {
    let mut world = World::new(&[1.0, 1.2, 50.0], 0.1, 3);
    world.settle();
    let (before, mut looked, mut looks) = (world.spent, 0.0, 0);
    for _ in 0..20_000 {
        let spent = world.spent;
        if world.run().0.purpose == Purpose::Look {
            looks += 1;
            looked += world.spent - spent;
        }
    }
    assert!((50..400).contains(&looks), "{looks}");
    assert!(looked / (world.spent - before) <= 0.05);
}

#[test]
fn one_that_failed_is_left_out_until_its_time() {
    let mut world = World::new(&[2.0, 1.0], 0.1, 4);
    world.settle();
    assert_eq!(world.choice.best(), Some(1));
    world.choice.ban(1, 3_600_000);
    (0..300).for_each(|_| assert_eq!(world.run().0.number, 0));
    assert_eq!(world.choice.outlines()[1].standing, Standing::Banned);
    let later = |world: &mut World| {
        let pick = world.choice.pick(3_600_000, 0.0);
        world.choice.ran(pick, world.medians[pick.number]);
        pick.number
    };
    assert!((0..10).any(|_| later(&mut world) == 1));
}

#[test]
fn the_first_is_never_left_out() {
    let mut choice = Choice::new(2);
    choice.ban(0, 1_000);
    assert_eq!(choice.pick(0, 0.5).number, 0);
    choice.ban(1, 1_000);
    assert_eq!(choice.best(), Some(0));
}

#[test]
fn a_pinned_choice_stays_with_the_first() {
    let mut world = World::new(&[2.0, 1.0], 0.1, 5);
    world.settle();
    world.choice.pin();
    (0..500).for_each(|_| assert_eq!(world.run().0.number, 0));
    assert_eq!(world.choice.best(), Some(0));
}

#[test]
fn runs_that_are_on_their_way_are_counted() {
    let mut choice = Choice::new(2);
    let picks: Vec<Pick> = (0..10).map(|_| choice.pick(0, 0.5)).collect();
    let tried = |number: usize| {
        picks.iter().filter(|pick| pick.number == number && pick.purpose == Purpose::Trial).count()
    };
    assert_eq!((tried(0), tried(1)), (3, 3));
    choice.gave_none(picks[0]);
    assert_eq!(choice.pick(0, 0.5), picks[0]);
}

#[test]
fn it_is_the_same_after_it_was_written_down() {
    let mut world = World::new(&[2.0, 1.0, 3.0], 0.2, 6);
    for _ in 0..100 {
        world.run();
        let bytes = world.choice.to_bytes();
        assert_eq!(Choice::from_bytes(&bytes, 3).as_ref(), Ok(&world.choice));
        assert_eq!(Choice::from_bytes(&bytes, 2), Err(Unreadable));
        assert_eq!(Choice::from_bytes(&bytes[..bytes.len() / 2], 3), Err(Unreadable));
    }
}

proptest! {
    /// Whatever happens in whatever order: somebody is picked who is not banned, and no state is refused later.
    #[test]
    fn somebody_always_runs(
        count in 1..6usize,
        steps in prop::collection::vec((0..8u8, 0..6usize, 1e-9..1e3f64, 0.0..1.0f64), 0..300),
    ) {
        let mut choice = Choice::new(count);
        let mut running = Vec::new();
        for (now_ms, (what, number, seconds, chance)) in (0u64..).zip(steps) {
            match what {
                0..=3 => {
                    let pick = choice.pick(now_ms, chance);
                    prop_assert_ne!(choice.outlines()[pick.number].standing, Standing::Banned);
                    running.push(pick);
                }
                4 | 5 => {
                    if let Some(pick) = running.pop() {
                        choice.ran(pick, seconds);
                    }
                }
                6 => {
                    if let Some(pick) = running.pop() {
                        choice.gave_none(pick);
                    }
                }
                _ => choice.ban(number % count, now_ms + number as u64),
            }
            prop_assert_eq!(Choice::from_bytes(&choice.to_bytes(), count), Ok(choice.clone()));
        }
    }

    /// Bytes of anybody are a choice that works, or refused.
    #[test]
    fn bytes_of_anybody_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200), count in 1..4usize) {
        if let Ok(mut choice) = Choice::from_bytes(&bytes, count) {
            let pick = choice.pick(0, 0.0);
            choice.ran(pick, 1.0);
        }
    }
}
