//! `lineshaft store upgrade`: from an earlier format to this version's.

use lineshaft_engine::inspect::check_is_home;
use lineshaft_store::FileDisk;
use lineshaft_store::inspect::{Upgraded, steps, upgrade};
use serde_json::json;

use super::failure::of_engine;
use crate::context::Context;
use crate::exit::Failure;

pub(super) fn run(context: &mut Context) -> Result<(), Failure> {
    let home = context.home()?;
    check_is_home(home.path()).map_err(|error| of_engine(&error))?;
    let aside = format!("lost/before-{}", env!("CARGO_PKG_VERSION"));
    let upgraded = upgrade(FileDisk::new(home.path()), &aside, &steps());
    let Upgraded { from, to, kept } = upgraded.map_err(|error| of_engine(&error.into()))?;
    let kept_in = (from != to).then_some(&aside);
    if context.output.is_json() {
        let document = json!({ "from": from, "to": to, "kept": kept, "kept_in": kept_in });
        return Ok(context.output.json(&document)?);
    }
    let place = home.path().display();
    context.output.say(match kept_in {
        None => format!("{place} has format {to}, that of this version: there is nothing to do"),
        Some(aside) => format!("{place} has format {to} now, {from} before; what was there is in {aside}"),
    });
    Ok(())
}
