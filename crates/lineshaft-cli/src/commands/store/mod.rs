//! `lineshaft store`: the files of a home, served or not.

mod export;
mod failure;
mod stats;
mod verify;

use crate::args::Store;
use crate::context::Context;
use crate::exit::Failure;

pub(crate) fn run(store: Store, context: &mut Context) -> Result<(), Failure> {
    match store {
        Store::Export(export) => export::run(&export, context),
        Store::Verify => verify::run(context),
        Store::Stats => stats::run(context),
    }
}
