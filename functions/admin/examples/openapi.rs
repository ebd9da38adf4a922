//! Prints the admin API's OpenAPI document; `cargo xtask openapi` writes it where it is committed.

#![allow(clippy::print_stdout, reason = "it is what this program is for")]

fn main() {
    print!("{}", admin::document());
}
