//! From text to a [`Program`]: sections, the machine line, the first comment.

use super::line::{Line, Piece};
use super::word::quote;
use super::{Boot, MachineSpec, Op, ParseError, Program, Thread, Token};

/// Reads a program. The first mistake ends the reading.
pub fn parse(text: &str) -> Result<Program, ParseError> {
    let mut program = Program::default();
    let mut section = Section::Machine;
    for (index, raw) in text.lines().enumerate() {
        let number = index + 1;
        if number == 1 {
            program.boot = boot(raw)?;
        }
        let Some(mut line) = Line::split(number, raw) else { continue };
        match line.head.text {
            "machine" => {
                if section != Section::Machine {
                    let message = "`machine` comes too late; move it before the first operation";
                    return Err(line.error(line.head.column, message));
                }
                machine(program.machine.get_or_insert_default(), &mut line)?;
            }
            "thread" => {
                if section == Section::Finally {
                    let message = "a thread cannot follow `finally`; move it before";
                    return Err(line.error(line.head.column, message));
                }
                thread(&mut program.threads, &mut line)?;
                section = Section::Thread;
            }
            "finally" => {
                line.finish()?;
                if section == Section::Finally {
                    return Err(line.error(line.head.column, "there is a `finally` already; join the two"));
                }
                section = Section::Finally;
            }
            _ => {
                let op = Op::from_line(line)?;
                match (section, program.threads.last_mut()) {
                    (Section::Thread, Some(thread)) => thread.ops.push(op),
                    (Section::Finally, _) => program.finally.push(op),
                    _ => {
                        section = Section::Setup;
                        program.setup.push(op);
                    }
                }
            }
        }
    }
    Ok(program)
}

#[derive(Clone, Copy, PartialEq)]
enum Section {
    /// Before the first operation.
    Machine,
    Setup,
    Thread,
    Finally,
}

/// Reads `# own-boot [no-ballast]`, optionally with a remark after a colon. Returns `None` for any
/// other comment.
fn boot(first: &str) -> Result<Option<Boot>, ParseError> {
    let Some(comment) = first.trim_start().strip_prefix('#') else { return Ok(None) };
    let flags = comment.split(':').next().unwrap_or_default();
    let mut words = flags.split_whitespace();
    if words.next() != Some("own-boot") {
        return Ok(None);
    }
    let mut boot = Boot { ballast: true };
    for word in words {
        if word != "no-ballast" {
            let column = first.split(word).next().unwrap_or_default().chars().count() + 1;
            let word = quote(word);
            let message = format!("own-boot takes no {word}; write `no-ballast`, or a colon before a remark");
            return Err(ParseError { line: 1, column, message });
        }
        boot.ballast = false;
    }
    Ok(Some(boot))
}

fn thread(threads: &mut Vec<Thread>, line: &mut Line<'_>) -> Result<(), ParseError> {
    let name: Token = line.positional("name")?;
    let cpu: Option<u32> = line.key("cpu")?;
    line.finish()?;
    if threads.iter().any(|thread| thread.name == name) {
        let message = format!("there is a thread {name} already; take another name");
        return Err(line.error(line.head.column, message));
    }
    threads.push(Thread { name, cpu, ops: Vec::new() });
    Ok(())
}

fn machine(spec: &mut MachineSpec, line: &mut Line<'_>) -> Result<(), ParseError> {
    for piece in line.take_rest() {
        let Some((key, value)) = piece.text.split_once('=') else {
            return Err(line.error(piece.column, format_args!("{} is no FIELD=VALUE", quote(piece.text))));
        };
        let value = Piece { text: value, column: piece.column + key.chars().count() + 1 };
        let new = match key {
            "nodes" => set(&mut spec.nodes, line.read(value)?),
            "cpus" => set(&mut spec.cpus, line.read(value)?),
            "pressure" => set(&mut spec.pressure, line.read(value)?),
            "memory" => set(&mut spec.memory, line.read(value)?),
            "kernel" => set(&mut spec.kernel, line.read(value)?),
            "pages" => {
                let new = spec.pages.is_empty();
                spec.pages = numbers(line, value)?;
                new
            }
            "block" => set(&mut spec.block, line.read(value)?),
            "offline" => {
                let new = spec.offline.is_empty();
                spec.offline = numbers(line, value)?;
                new
            }
            "movable" => {
                let new = spec.movable.is_empty();
                spec.movable = numbers(line, value)?;
                new
            }
            _ => {
                let field: Token = line.read(Piece { text: key, column: piece.column })?;
                spec.profile.insert(field, line.read(value)?).is_none()
            }
        };
        if !new {
            return Err(line.error(piece.column, format_args!("{} is given twice; remove one", quote(key))));
        }
    }
    match spec.nodes {
        Some(nodes) if spec.pages.len() > 1 && spec.pages.len() as u64 != u64::from(nodes) => {
            let sizes = spec.pages.len();
            let message = format!("pages= gives {sizes} sizes for {nodes} nodes; give one, or one a node");
            Err(line.error(line.head.column, message))
        }
        _ => Ok(()),
    }
}

/// Sets a field; returns false if it was set already.
fn set<T>(field: &mut Option<T>, value: T) -> bool {
    field.replace(value).is_none()
}

fn numbers(line: &Line<'_>, value: Piece<'_>) -> Result<Vec<u32>, ParseError> {
    let mut column = value.column;
    let mut numbers = Vec::new();
    for text in value.text.split(',') {
        numbers.push(line.read(Piece { text, column })?);
        column += text.chars().count() + 1;
    }
    Ok(numbers)
}
