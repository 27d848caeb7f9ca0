//! Processes, groups, pages and descriptors, with real children.

mod attempt_page;
mod channels;
mod crashes;
mod descriptors;
mod file_systems;
mod groups;
mod kills;
mod limits;
mod processes;
mod rings;
mod support;
mod tables;
mod trees;
