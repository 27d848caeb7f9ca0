//! The `lineshaft` command of a cargo build.

fn main() -> std::process::ExitCode {
    std::process::ExitCode::from(lineshaft_cli::run(std::env::args_os()).clamp(0, 255) as u8)
}
