//! What is told on standard input.

use std::io::BufRead as _;
use std::sync::Arc;

use gstreamer_rtsp_server::prelude::*;

use crate::faults::Fault;
use crate::{Camera, login, say};

/// Does line by line what it is told. Whoever started the camera is gone when its standard input ends, however that
/// came about.
pub(crate) fn listen(camera: Arc<Camera>) {
    std::thread::spawn(move || {
        let mut path = "/cam".to_owned();
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            match obey(&camera, line.trim(), &mut path) {
                Ok(()) => say(&format!("done {line}")),
                Err(why) => say(&format!("refused {line}: {why}")),
            }
        }
        std::process::exit(0);
    });
}

fn obey(camera: &Camera, line: &str, path: &mut String) -> Result<(), String> {
    let (verb, value) = line.split_once(' ').unwrap_or((line, ""));
    match verb {
        "fault" => fault(camera, value.parse()?)?,
        "reset" => camera.door.reset(),
        "hang-up" => camera.door.hang_up(),
        "next" => next(camera)?,
        "clock" => camera.faults.step_clock(value.parse().map_err(|_| "no number of seconds")?),
        "password" => {
            let (user, _) = camera.options.login.as_ref().ok_or("there is no login")?;
            let login = (user.clone(), value.to_owned());
            let auth = login::auth(&camera.options, Some(&login)).map_err(|error| error.to_string())?;
            camera.rtsp.set_auth(auth.as_ref());
        }
        "path" if value.starts_with('/') => {
            camera.mounts.remove_factory(path);
            camera.mounts.add_factory(value, camera.factory.clone());
            value.clone_into(path);
        }
        _ => return Err("not understood".into()),
    }
    Ok(())
}

fn fault(camera: &Camera, fault: Fault) -> Result<(), String> {
    if fault == Fault::Black {
        // Not while somebody waits for the first of them.
        camera.programme.now().black()?;
    }
    camera.faults.set(fault);
    for feed in camera.programme.feeds() {
        feed.wake();
    }
    Ok(())
}

fn next(camera: &Camera) -> Result<(), String> {
    let (before, next) = (camera.programme.now(), camera.programme.on() + 1);
    let clip = camera.programme.clip(next).ok_or("there is no further clip")?;
    camera.programme.advance(next);
    if clip.codec != before.codec {
        camera.launch();
        camera.door.hang_up();
    }
    Ok(())
}
