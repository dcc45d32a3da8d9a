//! The Rust of `proto/EXAMPLES.md`, as it stands there: `written.rs` is made of its blocks, one behind the other, by a test.
#![expect(clippy::print_stdout, reason = "an example shows what it got")]

include!("written.rs");

fn main() -> Answered<()> {
    match env::args().nth(1).as_deref() {
        Some("where_was_it") => where_was_it(),
        Some("timeline") => timeline(),
        Some("refused") => refused(),
        Some("proof") => proof(),
        Some("follow") => follow(),
        Some("back_up") => back_up(),
        Some("search") => search(),
        Some("submit") => submit(),
        Some("retry") => retry(),
        Some("migrations") => migrations(),
        Some("lineage") => lineage(),
        other => Err(format!("no example is called {other:?}").into()),
    }
}
