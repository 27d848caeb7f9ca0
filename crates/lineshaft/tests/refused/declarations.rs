//! What the macros refuse themselves.

#[lineshaft::task]
async fn borrows_text(src: &str) {}

#[lineshaft::task]
async fn borrows_bytes(bytes: &[u8]) {}

#[lineshaft::task]
async fn is_generic<T>(value: T) {}

#[lineshaft::task]
async fn context_comes_last(src: String, ctx: &Context) {}

#[lineshaft::task]
async fn context_by_value(ctx: Context) {}

#[lineshaft::task]
async fn anything(value: impl Send) {}

#[lineshaft::task]
async fn takes_apart((a, b): (u8, u8)) {}

#[lineshaft::task]
unsafe fn is_unsafe() {}

#[lineshaft::task(colour = "red")]
async fn unknown_option() {}

#[lineshaft::task(retries = "3")]
async fn text_for_a_number() {}

#[lineshaft::task(priority = 12)]
async fn out_of_range() {}

#[lineshaft::task(delivery = "exactly_once")]
async fn unknown_delivery() {}

#[lineshaft::task(name = "")]
async fn without_a_name() {}

struct Shop;

impl Shop {
    #[lineshaft::task]
    async fn method(&self) {}
}

#[lineshaft::value]
struct Nameless {
    id: u8,
}

#[lineshaft::value("shop.Pair")]
struct Pair(u8, u8);

#[lineshaft::value("shop.Shape")]
enum Shape {
    Empty,
    Circle(f64),
}

fn main() {}
