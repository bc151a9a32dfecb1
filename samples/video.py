"""Writes and reads H.264 with the `ffmpeg` program. Pictures are BGR arrays of 1280x720."""

import subprocess

import numpy as np

from traffic import FPS, HEIGHT, WIDTH

RAW = ["-f", "rawvideo", "-pix_fmt", "bgr24"]
TAGS = ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv"]


class Writer:
    """An MP4 as a camera would send it: no B-frames, a keyframe every 2 s, BT.709 in limited range."""

    def __init__(self, path, crf=25, preset="slow"):
        x264 = f"keyint={2 * FPS}:min-keyint={2 * FPS}:scenecut=0:bframes=0:open-gop=0:threads=2"
        self.process = subprocess.Popen(
            ["ffmpeg", "-y", "-loglevel", "error", *RAW, "-s", f"{WIDTH}x{HEIGHT}", "-r", str(FPS), "-i", "-",
             "-vf", "scale=out_color_matrix=bt709:out_range=tv:flags=accurate_rnd,format=yuv420p", *TAGS,
             "-c:v", "libx264", "-profile:v", "high", "-preset", preset, "-crf", str(crf), "-maxrate", "1800k", "-bufsize", "3600k",
             "-x264-params", x264, "-fflags", "+bitexact", "-flags:v", "+bitexact", "-movflags", "+faststart", str(path)],
            stdin=subprocess.PIPE)

    def write(self, picture):
        self.process.stdin.write(np.ascontiguousarray(picture))

    def close(self):
        self.process.stdin.close()
        if self.process.wait() != 0:
            raise RuntimeError("ffmpeg could not write the clip; its message is above")


def read(path):
    """Yields the pictures of a clip."""
    size = WIDTH * HEIGHT * 3
    command = ["ffmpeg", "-loglevel", "error", "-threads", "1", "-i", str(path),
               "-vf", "scale=in_color_matrix=bt709:in_range=tv:flags=accurate_rnd+bilinear,format=bgr24", *RAW, "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=size) as process:
        while len(data := process.stdout.read(size)) == size:
            yield np.frombuffer(data, np.uint8).reshape(HEIGHT, WIDTH, 3)
