//! Which file system a directory is on.

use std::path::Path;

use lineshaft_ipc::home_fs::{FileSystem, file_system_kind};

#[test]
fn shared_memory_is_memory_and_proc_is_unknown() {
    assert_eq!(file_system_kind(Path::new("/dev/shm")).unwrap(), FileSystem::Memory);
    assert_eq!(file_system_kind(Path::new("/proc")).unwrap(), FileSystem::Unknown(0x9fa0));
}

#[test]
fn a_home_that_is_not_there_yet_counts_as_its_parent() {
    let missing = Path::new("/dev/shm/lineshaft-missing/shop/.lineshaft");
    assert_eq!(file_system_kind(missing).unwrap(), FileSystem::Memory);
    let here = file_system_kind(Path::new(".")).unwrap();
    assert_eq!(file_system_kind(Path::new("lineshaft-missing")).unwrap(), here);
    assert_eq!(file_system_kind(Path::new("")).unwrap(), here);
}

#[test]
fn a_path_that_cannot_be_is_refused_by_name() {
    let error = file_system_kind(Path::new("/proc/version/home")).unwrap_err();
    assert!(error.to_string().starts_with("cannot tell the file system of /proc/version/home: "), "{error}");
    assert!(file_system_kind(Path::new("nul\0byte")).is_err());
}
