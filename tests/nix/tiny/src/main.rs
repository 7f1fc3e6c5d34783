fn main() {
    println!("{}", env!("BUILT_FOR"));
}
