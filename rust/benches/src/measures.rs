//! Measurements for Criterion: ratios of two variants in one round, and processor time.

use criterion::measurement::{Measurement, ValueFormatter};
use criterion::{Bencher, Throughput};

/// The time of a variant in multiples of that of a base, both measured in the same round.
///
/// Other programs slow both down alike. Two benchmarks that ran minutes apart would compare two moments of
/// the machine instead.
#[derive(Clone, Copy, Debug)]
pub struct Beside {
    /// The unit of the ratios, such as `x memcpy`.
    pub unit: &'static str,
}

impl Beside {
    /// Measures `variant` beside `base`, which take turns. Each returns the time that it took, in any unit.
    pub fn measure(
        bencher: &mut Bencher<'_, Beside>,
        base: &mut dyn FnMut() -> f64,
        variant: &mut dyn FnMut() -> f64,
    ) {
        bencher.iter_custom(|rounds| {
            (0..rounds)
                .map(|_| {
                    let base = base();
                    variant() / base
                })
                .sum()
        });
    }
}

impl Measurement for Beside {
    type Intermediate = ();
    type Value = f64;

    fn start(&self) {
        panic!("a ratio needs `Beside::measure`");
    }

    fn end(&self, (): ()) -> f64 {
        0.0
    }

    fn add(&self, a: &f64, b: &f64) -> f64 {
        a + b
    }

    fn zero(&self) -> f64 {
        0.0
    }

    fn to_f64(&self, value: &f64) -> f64 {
        *value
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        self
    }
}

impl ValueFormatter for Beside {
    fn scale_values(&self, _typical: f64, _values: &mut [f64]) -> &'static str {
        self.unit
    }

    fn scale_throughputs(&self, _typical: f64, _of: &Throughput, _values: &mut [f64]) -> &'static str {
        self.unit
    }

    fn scale_for_machines(&self, _values: &mut [f64]) -> &'static str {
        self.unit
    }
}

/// Nanoseconds of processor time of this process; the time of other programs is not counted.
#[derive(Clone, Copy, Debug)]
pub struct ProcessorTime;

impl ProcessorTime {
    /// The processor time of this process so far, in nanoseconds.
    pub fn now() -> f64 {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the clock exists on Linux, and the pointer is to a local that outlives the call.
        let failed = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
        assert_eq!(failed, 0, "no processor clock");
        time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
    }

    /// The processor time that `work` takes, in nanoseconds.
    pub fn of(work: impl FnOnce()) -> f64 {
        let start = ProcessorTime::now();
        work();
        ProcessorTime::now() - start
    }
}

impl Measurement for ProcessorTime {
    type Intermediate = f64;
    type Value = f64;

    fn start(&self) -> f64 {
        ProcessorTime::now()
    }

    fn end(&self, start: f64) -> f64 {
        ProcessorTime::now() - start
    }

    fn add(&self, a: &f64, b: &f64) -> f64 {
        a + b
    }

    fn zero(&self) -> f64 {
        0.0
    }

    fn to_f64(&self, value: &f64) -> f64 {
        *value
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        self
    }
}

impl ValueFormatter for ProcessorTime {
    fn scale_values(&self, typical: f64, values: &mut [f64]) -> &'static str {
        let (factor, unit) = match typical {
            ..1e3 => (1.0, "ns"),
            1e3..1e6 => (1e-3, "us"),
            1e6..1e9 => (1e-6, "ms"),
            _ => (1e-9, "s"),
        };
        values.iter_mut().for_each(|value| *value *= factor);
        unit
    }

    fn scale_throughputs(&self, _typical: f64, of: &Throughput, values: &mut [f64]) -> &'static str {
        let (each, unit) = match of {
            Throughput::Bytes(bytes) => (*bytes as f64 * 1e3, "MB/s"),
            Throughput::Elements(elements) => (*elements as f64 * 1e9, "/s"),
            other => panic!("no benchmark here measures {other:?}"),
        };
        values.iter_mut().for_each(|value| *value = each / *value);
        unit
    }

    fn scale_for_machines(&self, _values: &mut [f64]) -> &'static str {
        "ns"
    }
}
