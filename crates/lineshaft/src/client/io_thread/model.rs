//! The hand-over between callers and the I/O thread in one order after the other: `make test-models`.
//!
//! Nothing ends by itself here: no timeout passes, nobody's patience does unless the model says so. So whoever is forgotten
//! waits for ever, which is what is looked for. Runtime and alarm are the model's own; the code between is the product's.

pub(super) mod runtime;
#[cfg(test)]
mod tests;
pub(super) mod wakes;
