//! A camera file: whatever stands in it, an error, or cameras that are written and read as the same
//! where they are usable.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sightline_schema::CameraFile;

fuzz_target!(|text: &str| {
    let Ok(mut file) = serde_norway::from_str::<CameraFile>(text) else { return };
    for camera in &mut file.cameras {
        camera.take_credentials();
        if camera.validate().is_err() {
            continue;
        }
        let Ok(json) = serde_json::to_string(camera) else { continue };
        let again: sightline_schema::Camera = serde_json::from_str(&json).expect("what was written is read");
        assert_eq!(serde_json::to_string(&again).expect("it was written before"), json);
    }
});
