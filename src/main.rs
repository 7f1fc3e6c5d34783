//! stock-consumer. What it does is in the library; its commands are in [`stock_consumer::command_line`].

fn main() -> std::process::ExitCode {
    stock_consumer::command_line::main()
}
