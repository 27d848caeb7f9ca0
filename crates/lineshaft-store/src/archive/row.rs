//! One finished job as bytes. Readers ignore what follows the fields they know, so fields may be added at the end.

use lineshaft_wire::measures::{MEASURES, Measures};
use lineshaft_wire::record::OUTCOMES;
use lineshaft_wire::{AttemptRecord, ErrorRecord, Fence, JobId, JobRecord, JobState, Outcome};

use super::codec::{Decoded, Decoder, Encoder, Malformed};
use super::names::{Kind, NameWriter, Names};

/// What numbers in rows are counted from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Base {
    pub(crate) finish_number: u64,
    pub(crate) created_ms: u64,
}

/// Where a job's payloads are: one after another in an unpacked frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PayloadPlace {
    pub(crate) frame: u32,
    pub(crate) offset: u32,
    pub(crate) arguments_bytes: u32,
    pub(crate) options_bytes: u32,
    pub(crate) result_bytes: u32,
    pub(crate) checkpoint_bytes: u32,
}

/// A row taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) finish_number: u64,
    pub(crate) place: PayloadPlace,
    pub(crate) record: JobRecord,
}

const CANCELLING: u8 = 1;

/// Writes a row.
pub(crate) fn encode<'a>(
    encoder: &mut Encoder,
    names: &mut NameWriter<'a>,
    base: Base,
    (finish_number, place, record): (u64, PayloadPlace, &'a JobRecord),
) {
    encoder.u64(finish_number - base.finish_number);
    encoder.fixed(&record.id.to_bytes());
    for part in [place.frame, place.offset, place.arguments_bytes, place.options_bytes, place.result_bytes] {
        encoder.u64(u64::from(part));
    }
    encoder.u8(record.state as u8);
    encoder.u8(if record.cancelling { CANCELLING } else { 0 });
    encoder.u64(u64::from(names.number(Kind::Task, &record.task)));
    encoder.u64(u64::from(names.number(Kind::Queue, &record.queue)));
    encoder.u8(record.priority);
    for count in [record.attempt, record.max_attempts, record.crashes] {
        encoder.u64(u64::from(count));
    }
    encode_times(encoder, base, record);
    encode_texts(encoder, names, record);
    encoder.u64(record.attempts.len() as u64);
    for attempt in &record.attempts {
        encode_attempt(encoder, names, record.created_at, attempt);
    }
    encoder.u64(record.arguments_bytes);
    encoder.u64(record.result_bytes);
    encoder.option(record.failure_of, |encoder, id| encoder.fixed(&id.to_bytes()));
    encoder.option(record.handled_by, |encoder, id| encoder.fixed(&id.to_bytes()));
    encoder.u64(u64::from(place.checkpoint_bytes));
    encoder.option(record.checkpoint_at, |encoder, time| encoder.time(time, record.created_at));
    record.attempts.iter().for_each(|attempt| encode_account(encoder, attempt));
    encoder.option(record.context.as_deref(), |encoder, text| encoder.bytes(text.as_bytes()));
}

fn encode_times(encoder: &mut Encoder, base: Base, record: &JobRecord) {
    encoder.time(record.created_at, base.created_ms);
    let starts = [record.scheduled_at, record.expires_at, record.deadline_at];
    for time in starts.into_iter().chain([record.attempted_at, record.finalized_at]) {
        encoder.option(time, |encoder, time| encoder.time(time, record.created_at));
    }
}

fn encode_texts<'a>(encoder: &mut Encoder, names: &mut NameWriter<'a>, record: &'a JobRecord) {
    encoder.option(record.attempted_by.as_deref(), |encoder, worker| {
        encoder.u64(u64::from(names.number(Kind::Worker, worker)));
    });
    encoder.option(record.reason.as_deref(), |encoder, reason| {
        encoder.u64(u64::from(names.number(Kind::Other, reason)));
    });
    encoder.option(record.waits_for.as_deref(), |encoder, text| encoder.bytes(text.as_bytes()));
    encoder.u64(record.tags.len() as u64);
    record.tags.iter().for_each(|tag| encoder.u64(u64::from(names.number(Kind::Other, tag))));
    encoder.option(record.metadata.as_deref(), |encoder, text| encoder.bytes(text.as_bytes()));
    encoder.option(record.retry_of, |encoder, id| encoder.fixed(&id.to_bytes()));
}

fn encode_attempt<'a>(
    encoder: &mut Encoder,
    names: &mut NameWriter<'a>,
    created_ms: u64,
    attempt: &'a AttemptRecord,
) {
    encoder.u64(u64::from(attempt.number));
    encoder.u64(attempt.fence.epoch);
    encoder.u64(attempt.fence.counter);
    encoder.option(attempt.outcome, |encoder, outcome| encoder.u8(outcome as u8));
    encoder.u64(u64::from(names.number(Kind::Worker, &attempt.worker)));
    encoder.time(attempt.started_at, created_ms);
    encoder.option(attempt.finished_at, |encoder, time| encoder.time(time, created_ms));
    encoder.option(attempt.error.as_ref(), |encoder, error| encode_error(encoder, names, error));
    encoder.bytes(&attempt.output);
}

/// How long the job waited for an attempt and what that took: which of these are known, and their values.
fn encode_account(encoder: &mut Encoder, attempt: &AttemptRecord) {
    let measures: [Option<u64>; MEASURES] = attempt.measures.into();
    let figures = || [attempt.waited_ms].into_iter().chain(measures);
    let bits = (0..).zip(figures()).map(|(bit, figure)| u8::from(figure.is_some()) << bit);
    encoder.u8(bits.fold(0, |known, bit| known | bit));
    figures().flatten().for_each(|figure| encoder.u64(figure));
}

fn encode_error<'a>(encoder: &mut Encoder, names: &mut NameWriter<'a>, error: &'a ErrorRecord) {
    encoder.u64(error.types.len() as u64);
    error.types.iter().for_each(|name| encoder.u64(u64::from(names.number(Kind::Other, name))));
    encoder.bytes(error.message.as_bytes());
    encoder.option(error.traceback.as_deref(), |encoder, text| encoder.bytes(text.as_bytes()));
    encoder.option(error.signal, |encoder, signal| encoder.i64(i64::from(signal)));
    encoder.option(error.rss_peak_bytes, Encoder::u64);
    encoder.option(error.arguments.as_deref(), Encoder::bytes);
}

/// Reads a row.
pub(crate) fn decode(bytes: &[u8], names: &Names, base: Base) -> Decoded<Row> {
    let decoder = &mut Decoder::new(bytes);
    let finish_number = base.finish_number.checked_add(decoder.u64()?).ok_or(Malformed)?;
    let id = decode_id(decoder)?;
    let mut place = decode_place(decoder)?;
    let state = decode_state(decoder.u8()?)?;
    let cancelling = decoder.u8()? & CANCELLING != 0;
    let (task, queue) = (names.get(decoder)?, names.get(decoder)?);
    let priority = decoder.u8()?;
    let (attempt, max_attempts, crashes) = (decoder.u32()?, decoder.u32()?, decoder.u32()?);
    let created_at = decoder.time(base.created_ms)?;
    let mut record = JobRecord {
        id,
        task,
        queue,
        state,
        cancelling,
        priority,
        attempt,
        max_attempts,
        crashes,
        created_at,
        scheduled_at: decoder.option(|decoder| decoder.time(created_at))?,
        expires_at: decoder.option(|decoder| decoder.time(created_at))?,
        deadline_at: decoder.option(|decoder| decoder.time(created_at))?,
        attempted_at: decoder.option(|decoder| decoder.time(created_at))?,
        finalized_at: decoder.option(|decoder| decoder.time(created_at))?,
        attempted_by: decoder.option(|decoder| names.get(decoder))?,
        reason: decoder.option(|decoder| names.get(decoder))?,
        waits_for: decoder.option(|decoder| decoder.text().map(str::to_owned))?,
        tags: decode_list(decoder, |decoder| names.get(decoder))?,
        metadata: decoder.option(|decoder| decoder.text().map(Into::into))?,
        context: None,
        retry_of: decoder.option(decode_id)?,
        attempts: decode_list(decoder, |decoder| decode_attempt(decoder, names, created_at))?,
        arguments_bytes: decoder.u64()?,
        result_bytes: decoder.u64()?,
        failure_of: decode_later(decoder, decode_id)?,
        handled_by: decode_later(decoder, decode_id)?,
        checkpoint_bytes: 0,
        checkpoint_at: None,
    };
    // Rows were shorter once.
    if !decoder.is_empty() {
        place.checkpoint_bytes = decoder.u32()?;
        record.checkpoint_bytes = u64::from(place.checkpoint_bytes);
        record.checkpoint_at = decoder.option(|decoder| decoder.time(created_at))?;
    }
    if !decoder.is_empty() {
        record.attempts.iter_mut().try_for_each(|attempt| decode_account(decoder, attempt))?;
    }
    record.context = decode_later(decoder, |decoder| decoder.text().map(Into::into))?;
    Ok(Row { finish_number, place, record })
}

/// The id of a row, without taking the rest apart.
pub(crate) fn decode_only_id(bytes: &[u8]) -> Decoded<JobId> {
    let decoder = &mut Decoder::new(bytes);
    decoder.u64()?;
    decode_id(decoder)
}

/// An optional field that rows of earlier versions end before.
fn decode_later<T>(
    decoder: &mut Decoder<'_>,
    decode: impl FnOnce(&mut Decoder<'_>) -> Decoded<T>,
) -> Decoded<Option<T>> {
    if decoder.is_empty() { Ok(None) } else { decoder.option(decode) }
}

fn decode_id(decoder: &mut Decoder<'_>) -> Decoded<JobId> {
    JobId::from_bytes(decoder.array()?).ok_or(Malformed)
}

fn decode_place(decoder: &mut Decoder<'_>) -> Decoded<PayloadPlace> {
    Ok(PayloadPlace {
        frame: decoder.u32()?,
        offset: decoder.u32()?,
        arguments_bytes: decoder.u32()?,
        options_bytes: decoder.u32()?,
        result_bytes: decoder.u32()?,
        checkpoint_bytes: 0,
    })
}

fn decode_state(byte: u8) -> Decoded<JobState> {
    JobState::ALL.into_iter().find(|state| *state as u8 == byte).ok_or(Malformed)
}

fn decode_list<T>(
    decoder: &mut Decoder<'_>,
    mut decode: impl FnMut(&mut Decoder<'_>) -> Decoded<T>,
) -> Decoded<Vec<T>> {
    let count = decoder.count()?;
    (0..count).map(|_| decode(decoder)).collect()
}

fn decode_attempt(decoder: &mut Decoder<'_>, names: &Names, created_ms: u64) -> Decoded<AttemptRecord> {
    Ok(AttemptRecord {
        number: decoder.u32()?,
        fence: Fence { epoch: decoder.u64()?, counter: decoder.u64()? },
        outcome: decoder.option(decode_outcome)?,
        worker: names.get(decoder)?,
        started_at: decoder.time(created_ms)?,
        finished_at: decoder.option(|decoder| decoder.time(created_ms))?,
        error: decoder.option(|decoder| decode_error(decoder, names))?,
        output: decoder.bytes()?.to_vec(),
        waited_ms: None,
        measures: Measures::default(),
    })
}

fn decode_account(decoder: &mut Decoder<'_>, attempt: &mut AttemptRecord) -> Decoded<()> {
    let known = decoder.u8()?;
    let mut figure = |bit: usize| (known >> bit & 1 == 1).then(|| decoder.u64()).transpose();
    attempt.waited_ms = figure(0)?;
    let mut measures = [None; MEASURES];
    for (bit, measure) in (1..).zip(&mut measures) {
        *measure = figure(bit)?;
    }
    attempt.measures = measures.into();
    Ok(())
}

fn decode_outcome(decoder: &mut Decoder<'_>) -> Decoded<Outcome> {
    let byte = decoder.u8()?;
    OUTCOMES.into_iter().find(|outcome| *outcome as u8 == byte).ok_or(Malformed)
}

fn decode_error(decoder: &mut Decoder<'_>, names: &Names) -> Decoded<ErrorRecord> {
    Ok(ErrorRecord {
        types: decode_list(decoder, |decoder| names.get(decoder).map(|name| name.to_string()))?,
        message: decoder.text()?.to_owned(),
        traceback: decoder.option(|decoder| decoder.text().map(str::to_owned))?,
        signal: decoder.option(|decoder| decoder.i64()?.try_into().map_err(|_| Malformed))?,
        rss_peak_bytes: decoder.option(Decoder::u64)?,
        arguments: decoder.option(|decoder| decoder.bytes().map(<[u8]>::to_vec))?,
    })
}
