//! The words for states and outcomes, and ids and fences as people see them.

use lineshaft_wire::{Fence, JobId, JobState, Outcome};
use serde_json::json;

#[test]
fn a_state_is_written_and_read_by_one_word() {
    for state in JobState::ALL {
        let word = state.to_string();
        assert_eq!(word.parse(), Ok(state));
        assert_eq!(serde_json::to_value(state).unwrap(), json!(word));
    }
    assert_eq!(
        "done".parse::<JobState>(),
        Err("\"done\" is not a job state: expected one of pending, scheduled, available, running, retryable, \
             completed, cancelled, discarded"
            .to_owned())
    );
}

#[test]
fn a_job_that_ended_is_completed_cancelled_or_discarded() {
    let ends: Vec<_> = JobState::ALL.into_iter().filter(|state| state.is_finished()).collect();
    assert_eq!(ends, [JobState::Completed, JobState::Cancelled, JobState::Discarded]);
}

#[test]
fn an_outcome_is_shown_by_the_word_that_travels() {
    for (number, word) in
        ["succeeded", "errored", "timed_out", "crashed", "lost", "cancelled", "snoozed", "released"]
            .into_iter()
            .enumerate()
    {
        let outcome: Outcome = serde_json::from_value(json!(word)).unwrap();
        assert_eq!((outcome as usize, outcome.to_string()), (number, word.to_owned()));
    }
}

#[test]
fn words_are_padded_into_columns() {
    assert_eq!(format!("{:<10}|{:>8}|", JobState::Running, Outcome::Lost), "running   |    lost|");
}

#[test]
fn ids_and_fences_are_short_in_logs() {
    let id = JobId::direct(1_790_000_000_000, 0, 1, 1);
    assert_eq!(format!("{id:?}"), format!("JobId({id})"));
    assert_eq!(Fence { epoch: 1_790_000_000, counter: 7 }.to_string(), "1790000000.7");
}

#[test]
fn an_id_that_a_client_made_up_names_no_slot() {
    let named: JobId = "0199b1c2-7a5e-7000-8000-000000000001".parse().unwrap();
    assert_eq!(named.slot(), None);
}
