fn main() {
    println!("onemap {}", env!("CARGO_PKG_VERSION"));
}
