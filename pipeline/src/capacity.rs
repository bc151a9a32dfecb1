//! How many frames a second this pod can detect, measured at its start.

use std::time::{Duration, Instant};

use crate::detect::{Model, ModelError};

/// The first runs of a session are slower: memory is laid out.
const WARM_UP: u64 = 2;
/// How long is measured.
const MEASURED: Duration = Duration::from_millis(1_500);
/// Pictures are as wide as most cameras'.
const PICTURE: (u32, u32) = (1920, 1080);

/// Runs as many sessions at once as detect workers will, on a picture of the usual shape, and counts. Decoding is not in
/// it: what that takes depends on the cameras.
pub fn measure(model: &Model, workers: usize) -> Result<f64, ModelError> {
    let input = model.input_for(PICTURE);
    let sessions = (0..workers.max(1)).map(|_| model.session()).collect::<Result<Vec<_>, _>>()?;
    let rates = std::thread::scope(|scope| {
        let measuring: Vec<_> = sessions
            .into_iter()
            .map(|mut session| {
                scope.spawn(move || {
                    session.run_bare(input, WARM_UP)?;
                    let (began, mut runs) = (Instant::now(), 0_u32);
                    while began.elapsed() < MEASURED {
                        session.run_bare(input, 1)?;
                        runs += 1;
                    }
                    Ok(f64::from(runs) / began.elapsed().as_secs_f64())
                })
            })
            .collect();
        let panicked = || Err(ModelError::Internal("measuring the capacity panicked".to_owned()));
        measuring
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| panicked()))
            .collect::<Result<Vec<_>, _>>()
    })?;
    Ok(rates.iter().sum())
}
