//! The entrance of the program.

fn main() {
    println!("onemap {}", env!("CARGO_PKG_VERSION"));
}
