//! The picture itself, and the timeline beside it.

use std::{fs, fs::File, io::BufReader, path::Path, process::Command};

use crate::ground::{BACKENDS, example, explains, printed, refuses, run, stderr};

/// Width, height, and three bytes a pixel.
fn read(path: &Path) -> (u32, u32, Vec<u8>) {
    let mut reader = png::Decoder::new(BufReader::new(File::open(path).unwrap())).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let frame = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((frame.color_type, frame.bit_depth), (png::ColorType::Rgb, png::BitDepth::Eight));
    (frame.width, frame.height, pixels)
}

#[test]
fn every_backend_draws_the_same_picture() {
    let temp = tempfile::tempdir().unwrap();
    let mut first = None;
    for backend in BACKENDS {
        let file = temp.path().join(format!("{backend}.png"));
        let arguments = ["--width", "120", "--steps", "60", "-n", "2", "--parallel-backend", backend, "-o"];
        let text = printed(example("mandelbrot").args(arguments).arg(&file));
        let workers = if *backend == "serial" { 1 } else { 2 };
        assert!(
            text.ends_with(&format!(": 120 by 90 pixels, backend: {backend}, workers: {workers}\n")),
            "{text}"
        );
        let (width, height, pixels) = read(&file);
        assert_eq!((width, height), (120, 90));
        let at = |x: usize, y: usize| <[u8; 3]>::try_from(&pixels[(y * 120 + x) * 3..][..3]).unwrap();
        // 0 is in the set and black, as is -1; the corners are not. Above and below are alike, but for where in a pixel one looks.
        assert_eq!((at(84, 45), at(46, 45)), ([0; 3], [0; 3]));
        assert!([at(0, 0), at(119, 0), at(0, 89), at(119, 89)].iter().all(|corner| *corner != [0; 3]));
        assert_eq!(first.get_or_insert_with(|| pixels.clone()), &pixels, "{backend}");
    }
}

#[test]
fn the_timeline_shows_the_workers() {
    let temp = tempfile::tempdir().unwrap();
    let picture = temp.path().join("m.png");
    for name in ["t.svg", "t.json"] {
        let timeline = temp.path().join(name);
        let arguments = ["--width", "64", "--steps", "50", "-n", "2"];
        printed(
            example("mandelbrot").args(arguments).arg("-o").arg(&picture).arg("--timeline").arg(&timeline),
        );
        let text = fs::read_to_string(timeline).unwrap();
        match name {
            "t.svg" => assert!(text.contains("mandelbrot (threads)") && text.contains(" finished"), "{text}"),
            _ => drop(serde_json::from_str::<serde_json::Value>(&text).unwrap()),
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_progress_is_shown_on_a_terminal_alone() {
    let temp = tempfile::tempdir().unwrap();
    let mut plain = example("mandelbrot");
    plain.args(["--width", "64", "--steps", "50", "-o", "m.png"]).current_dir(&temp);
    assert_eq!(stderr(&run(&mut plain)), "");
    let line = format!("'{}' --width 64 --steps 50 -o m.png", plain.get_program().display());
    let mut script = Command::new("script");
    script
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .current_dir(&temp)
        .env("TERM", "xterm");
    let shown = printed(&mut script);
    assert!(shown.contains("of 48 rows") && shown.contains("m.png: 64 by 48 pixels"), "{shown}");
}

#[test]
fn it_explains_itself_and_says_what_it_cannot_do() {
    let options =
        ["--output", "--width", "--center", "--span", "--steps", "--parallel-backend", "--timeline"];
    explains("mandelbrot", &options);
    refuses("mandelbrot", &["--center", "here"], "give two numbers with a comma between them");
    refuses("mandelbrot", &["--width", "0"], "0 is not in 4..=32768");
    refuses("mandelbrot", &["--parallel-backend", "easel"], "unknown backend `easel`");
    let nowhere = ["--width", "4", "-o", "no/such/folder.png"];
    refuses("mandelbrot", &nowhere, "mandelbrot: no/such/folder.png: No such file or directory");
}
