// Runs while the program is built. Linked against the static C library, it crashes.
fn main() {
    println!("cargo::rustc-env=BUILT_FOR={}", std::env::var("TARGET").unwrap());
}
