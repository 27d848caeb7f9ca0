//! `lineshaft store`: the files of a home, served or not.

mod backup;
mod doctor;
mod export;
mod export_file;
mod failure;
mod progress;
mod restore;
mod stats;
mod upgrade;
mod verify;

use crate::args::Store;
use crate::context::Context;
use crate::exit::Failure;

pub(crate) fn run(store: Store, context: &mut Context) -> Result<(), Failure> {
    match store {
        Store::Backup(args) => backup::run(&args, context),
        Store::Restore(args) => restore::run(&args, context),
        Store::Doctor(doctor) => doctor::run(&doctor, context),
        Store::Export(export) => export::run(&export, context),
        Store::Upgrade => upgrade::run(context),
        Store::Verify => verify::run(context),
        Store::Stats => stats::run(context),
    }
}
