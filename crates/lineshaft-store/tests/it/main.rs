//! Integration tests of the store, one module per behaviour.

mod archive_damage;
mod backup;
mod cold;
mod conformance;
mod crash;
mod damage;
mod durability;
mod faults;
mod home;
mod logs;
mod overlay;
mod rework;
mod space;
mod support;
mod upgrade;
