//! Integration tests of the store, one module per behaviour.

mod archive_damage;
mod conformance;
mod crash;
mod damage;
mod durability;
mod home;
mod space;
mod support;
