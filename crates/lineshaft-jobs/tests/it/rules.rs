//! Every rule by itself: short cases, each named after the behaviour it shows.

mod absent;
mod cache;
mod cached;
mod checkpoints;
mod cold;
mod deadlines;
mod failures;
mod keys;
mod leases;
mod limiters;
mod limits;
mod locks;
mod moves;
mod order;
mod parking;
mod queues;
mod restored;
mod retries;
mod shop;
mod snapshots;
mod verbs;
mod versions;
