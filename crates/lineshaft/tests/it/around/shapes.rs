//! Functions of every shape stay what they are with attributes above them.

use std::fmt::{Debug, Display};

use lineshaft::{logged, timed};

use super::{block_on, texts};

#[derive(Clone, Copy, Debug)]
struct Point {
    x: i32,
    y: i32,
}

#[derive(Debug, Default)]
struct Store {
    rows: Vec<String>,
}

impl Store {
    #[logged]
    #[timed]
    fn first(&self) -> Option<&str> {
        self.rows.first().map(String::as_str)
    }

    #[logged]
    #[timed]
    fn last_mut(&mut self) -> Option<&mut String> {
        self.rows.last_mut()
    }

    #[logged]
    #[timed]
    async fn push(&mut self, row: impl Into<String> + Debug) -> &mut Self {
        tokio::task::yield_now().await;
        self.rows.push(row.into());
        self
    }

    #[logged]
    #[timed]
    fn into_rows(self) -> Vec<String> {
        self.rows
    }

    #[logged]
    fn new() -> Self {
        Self::default()
    }
}

trait Named {
    fn name(&self, prefix: &str) -> String;
}

impl Named for Store {
    #[logged]
    fn name(&self, prefix: &str) -> String {
        format!("{prefix}{}", self.rows.len())
    }
}

#[test]
fn methods_keep_their_receivers_and_lifetimes() {
    let said = texts(|| {
        let mut store = Store::new();
        block_on(async { store.push("one").await.push("two").await.push("three").await.rows.len() });
        store.last_mut().unwrap().push('!');
        assert_eq!((store.first(), store.name("#").as_str()), (Some("one"), "#3"));
        assert_eq!(store.into_rows(), ["one", "two", "three!"]);
    });
    assert!(said.contains(&"first returned Some(\"one\")".to_owned()), "{said:?}");
    assert_eq!((Store::first_timing().count(), Store::push_timing().count()), (1, 3));
}

#[logged]
#[timed]
fn apart(Point { x, y }: Point, (a, mut b): (i32, i32), mut c: i32, _: u8) -> i32 {
    b += 1;
    c += 1;
    x + y + a + b + c
}

#[logged]
#[timed]
fn longer<'a, T>(one: &'a T, other: &'a T) -> &'a T
where
    T: Display + ?Sized + Debug,
{
    if one.to_string().len() < other.to_string().len() { other } else { one }
}

#[logged(result = false)]
fn counted(end: u8) -> impl Iterator<Item = u8> {
    (0..end).rev()
}

#[timed]
async fn doubled(numbers: Vec<u8>) -> Result<Vec<u8>, std::num::TryFromIntError> {
    tokio::task::yield_now().await;
    let double = |number: u8| u8::try_from(u16::from(number) * 2);
    numbers.into_iter().map(double).collect()
}

#[logged]
fn fails_early(text: &str) -> Result<u8, Box<dyn std::error::Error>> {
    let Some(first) = text.split(' ').next() else { return Err("nothing".into()) };
    Ok(first.parse::<u8>()?)
}

#[test]
fn functions_keep_patterns_generics_and_early_returns() {
    assert_eq!(apart(Point { x: 1, y: 2 }, (3, 4), 5, 0), 17);
    assert_eq!(longer("one", "three"), "three");
    assert_eq!(counted(3).collect::<Vec<_>>(), [2, 1, 0]);
    assert_eq!(block_on(doubled(vec![1, 2])), Ok(vec![2, 4]));
    assert_eq!(fails_early("7 x").unwrap(), 7);
    assert_eq!(fails_early("x").unwrap_err().to_string(), "invalid digit found in string");
    assert_eq!(apart_timing().count(), 1);
    assert_eq!(longer_timing().count(), 1);
}

#[test]
fn a_future_can_still_be_sent() {
    #[logged(duration = true)]
    #[timed]
    async fn sent(text: String) -> Result<usize, String> {
        tokio::task::yield_now().await;
        Ok(text.len())
    }

    fn is_sent<T: Send>(future: T) -> T {
        future
    }
    assert_eq!(block_on(is_sent(sent("four".into()))), Ok(4));
}

#[test]
fn the_attribute_on_top_is_outermost() {
    mod order {
        #[lineshaft::logged(target = "outer")]
        #[lineshaft::logged(target = "middle")]
        #[lineshaft::timed]
        #[lineshaft::logged(target = "inner")]
        pub(super) fn nothing() {}
    }
    let (lines, ()) = super::heard(tracing::Level::INFO, order::nothing);
    let targets: Vec<&str> = lines.iter().map(|(_, target, _)| target.as_str()).collect();
    assert_eq!(targets, ["outer", "middle", "inner", "inner", "middle", "outer"]);
}

/// Their arguments have the names that the attributes could use.
#[test]
fn arguments_may_have_any_name() {
    #[lineshaft::cached]
    #[lineshaft::retry(on = |_| error)]
    #[logged(duration = true)]
    #[timed]
    fn named(key: u8, ticket: u8, value: u8, error: bool, returned: u8, other: u8) -> Result<u8, u8> {
        if error { Err(key) } else { Ok(key + ticket + value + returned + other) }
    }

    #[lineshaft::cached]
    #[lineshaft::retry(on = |_| error)]
    #[logged(duration = true)]
    #[timed]
    async fn named_too(key: u8, ticket: u8, value: u8, error: bool, began: u8, other: u8) -> Result<u8, u8> {
        tokio::task::yield_now().await;
        if error { Err(key) } else { Ok(key + ticket + value + began + other) }
    }

    assert_eq!((named(1, 2, 3, false, 4, 5), block_on(named_too(1, 2, 3, false, 4, 5))), (Ok(15), Ok(15)));
}
