//! Prints the table of options: `cargo run --release -p warmstart-recipe --example options > docs/recipes/options.md`.

#[expect(clippy::print_stdout, reason = "its purpose")]
fn main() {
    print!("{}", warmstart_recipe::table());
}
