//! What `#[logged]` says.

use std::num::ParseIntError;

use tracing::Level;

use super::{block_on, heard, texts};

#[lineshaft::logged]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[test]
fn a_call_is_said_before_and_after() {
    let (lines, sum) = heard(Level::INFO, || add(3, 5));
    let line = |text: &str| (Level::INFO, module_path!().to_owned(), text.to_owned());
    assert_eq!(sum, 8);
    assert_eq!(lines, [line("Calling add with arguments (3, 5)"), line("add returned 8")]);
}

#[test]
fn where_nobody_listens_nothing_is_shown() {
    #[derive(Clone)]
    struct Loud;
    impl std::fmt::Debug for Loud {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            panic!("nobody wants to see it")
        }
    }

    #[lineshaft::logged(level = "debug", duration = true)]
    fn quiet(loud: Loud) -> Loud {
        loud
    }

    let (lines, _) = heard(Level::INFO, || quiet(Loud));
    assert_eq!(lines, []);
}

#[lineshaft::logged(level = "debug", target = "shop")]
fn parse(text: &str) -> Result<u8, ParseIntError> {
    let number: u8 = text.parse()?;
    Ok(number)
}

#[test]
fn an_error_is_said_as_one() {
    let (lines, _) = heard(Level::TRACE, || (parse("7"), parse("x").is_err()));
    let line = |level, text: &str| (level, "shop".to_owned(), text.to_owned());
    let expected = [
        line(Level::DEBUG, "Calling parse with arguments (\"7\",)"),
        line(Level::DEBUG, "parse returned 7"),
        line(Level::DEBUG, "Calling parse with arguments (\"x\",)"),
        line(Level::ERROR, "parse failed: invalid digit found in string"),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn an_error_is_heard_where_the_call_is_not() {
    let (lines, _) = heard(Level::WARN, || parse("x").is_err());
    assert_eq!(lines.len(), 1);
}

#[test]
fn what_is_redacted_needs_no_debug_and_is_not_seen() {
    struct Password(&'static str);

    #[lineshaft::logged(redact = ["password"], result = false)]
    fn log_in(user: &str, password: Password) -> Password {
        assert_eq!(user, "ada");
        password
    }

    let texts = texts(|| assert_eq!(log_in("ada", Password("correct horse")).0, "correct horse"));
    assert_eq!(texts, ["Calling log_in with arguments (\"ada\", ***)", "log_in returned"]);
}

#[test]
fn an_error_without_a_text_is_shown_all_the_same() {
    #[derive(Debug)]
    #[expect(dead_code, reason = "it is shown")]
    struct Odd(u8);

    #[lineshaft::logged]
    fn fails() -> Result<(), Odd> {
        Err(Odd(1))
    }

    #[lineshaft::logged(errors = false)]
    fn fails_silently() -> Result<(), Odd> {
        Err(Odd(1))
    }

    assert_eq!(texts(fails)[1], "fails failed: Odd(1)");
    assert_eq!(texts(fails_silently), ["Calling fails_silently with arguments ()"]);
}

#[test]
fn long_values_are_cut_and_the_time_is_said() {
    #[lineshaft::logged(max_length = 8, duration = true)]
    fn echo(text: &str) -> String {
        text.to_owned()
    }

    let texts = texts(|| echo("to be or not to be"));
    assert_eq!(texts[0], "Calling echo with arguments (\"to b...,)");
    let took = texts[1].strip_prefix("echo returned \"to b... in ").unwrap();
    assert!(took.ends_with('s'), "{took}");
}

#[test]
fn a_coroutine_is_said_when_it_runs() {
    #[lineshaft::logged]
    async fn half(x: u32) -> Result<u32, String> {
        tokio::task::yield_now().await;
        if x % 2 == 1 {
            return Err(format!("{x} is odd"));
        }
        Ok(x / 2)
    }

    drop(half(1));
    let texts = texts(|| {
        drop(half(1));
        block_on(async { assert_eq!((half(4).await, half(3).await.is_err()), (Ok(2), true)) });
    });
    let expected = [
        "Calling half with arguments (4,)",
        "half returned 2",
        "Calling half with arguments (3,)",
        "half failed: 3 is odd",
    ];
    assert_eq!(texts, expected);
}
