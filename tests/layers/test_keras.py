"""Keras's Sequential: fit, evaluate, predict, weights, summary, what is printed."""

from __future__ import annotations

import numpy as np
import pytest
from keras_bad_inputs import BAD_INPUTS

from pylayers import keras
from pylayers.errors import CheckpointError
from pylayers.keras import layers, models, optimizers
from pylayers.keras.utils import set_random_seed, to_categorical


@pytest.fixture(autouse=True)
def seeded():
    set_random_seed(0)


def relative(found, truth):
    return float(np.max(np.abs(found - truth)) / max(1.0, np.max(np.abs(truth))))


def blobs(n=200, seed=11):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    return (rng.standard_normal((n, 5)) + 3 * np.eye(3, 5)[y]).astype(np.float32), y


def small():
    model = models.Sequential(
        [layers.Dense(16, activation="relu", input_shape=(5,)), layers.Dense(3, activation="softmax")]
    )
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    return model


def test_fit_records_history_and_learns():
    x, y = blobs()
    model = small()
    history = model.fit(x, y, epochs=12, batch_size=16, validation_data=blobs(60, 12), verbose=0)
    assert set(history.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert history.epoch == list(range(12)) and len(history.history["loss"]) == 12
    assert all(isinstance(value, float) for values in history.history.values() for value in values)
    assert history.history["loss"][-1] < 0.5 * history.history["loss"][0]
    assert history.history["val_accuracy"][-1] > 0.9
    # In the batches that fit took: a product of other sizes may round otherwise.
    loss, accuracy = model.evaluate(*blobs(60, 12), batch_size=16, verbose=0)
    assert (loss, accuracy) == (history.history["val_loss"][-1], history.history["val_accuracy"][-1])
    assert model.evaluate(*blobs(60, 12), 16, verbose=0, return_dict=True) == {"loss": loss, "accuracy": accuracy}


@pytest.mark.parametrize(
    "arguments",
    [("sgdd", "mse"), ("adam", "hinge"), ("adam", "mse", ["f1"]), ("adam", "mse", "accuracy"), ("rmsprop", "mse")],
)
def test_after_a_failed_compile_nothing_is_trained(arguments):
    """Neither as the failed call said, nor as an earlier one did."""
    model = small()
    before = model.get_weights()
    with pytest.raises((ValueError, TypeError, NotImplementedError)):
        model.compile(*arguments)
    for act in (model.fit, model.evaluate):
        with pytest.raises(RuntimeError, match="the model has no loss yet; call compile"):
            act(*blobs(), verbose=0)
    assert all((a == b).all() for a, b in zip(model.get_weights(), before, strict=True))
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(*blobs(), verbose=0)
    assert all((a != b).any() for a, b in zip(model.get_weights(), before, strict=True))


@pytest.mark.parametrize("bad", [np.full(3, 1j), np.array([None] * 3), np.array(["1", "2", "3"])])
def test_set_weights_is_all_or_nothing(bad):
    model = small()
    before = model.get_weights()
    with pytest.raises(TypeError, match="argument 'weights': expected an array of numbers, got dtype"):
        model.set_weights([np.zeros_like(w) for w in before[:-1]] + [bad])
    assert all((a == b).all() for a, b in zip(model.get_weights(), before, strict=True))


def test_layers_hear_whether_they_train():
    """In the steps of fit they do; in its validation, in evaluate and in predict they do not."""
    heard = []

    class Spy(layers.Layer):
        def call(self, x, training):
            heard.append((training, len(x)))
            return x

    model = models.Sequential([layers.Input((5,)), Spy(), layers.Dense(3, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    (x, y), held_out = blobs(20), blobs(8)
    model.fit(x, y, batch_size=10, epochs=2, validation_data=held_out, verbose=0)
    assert heard == [(True, 10), (True, 10), (False, 8)] * 2
    heard.clear()
    model.evaluate(x, y, verbose=0)
    model.predict(x, verbose=0)
    assert heard == [(False, 20)] * 2


def test_epoch_loss_is_the_mean_over_examples_and_steps_are_gradient_descent():
    """One epoch of two unequal batches, by hand in float64."""
    rng = np.random.default_rng(13)
    x, y = rng.standard_normal((7, 3)), rng.standard_normal((7, 2))
    model = models.Sequential([layers.Input((3,)), layers.Dense(2)])
    model.compile(optimizers.SGD(0.1), "mse", ["mse"])
    kernel, bias = (w.astype(float) for w in model.get_weights())
    history = model.fit(x, y, batch_size=5, epochs=1, shuffle=False, verbose=0)
    total = 0.0
    for part in (slice(0, 5), slice(5, 7)):
        error = x[part] @ kernel + bias - y[part]
        total += (error**2).mean(1).sum()
        kernel, bias = kernel - 0.1 * 2 / error.size * x[part].T @ error, bias - 0.1 * 2 / error.size * error.sum(0)
    assert abs(history.history["loss"][0] - total / 7) <= 1e-6
    assert history.history["mse"] == pytest.approx(history.history["loss"], rel=1e-6)
    assert all(np.max(np.abs(a - b)) <= 1e-6 for a, b in zip(model.get_weights(), (kernel, bias), strict=True))


def test_validation_split_takes_the_last_examples_before_shuffling():
    x, y = blobs(50)
    model = small()
    history = model.fit(x, y, validation_split=0.2, epochs=2, verbose=0)
    assert model.evaluate(x[40:], y[40:], verbose=0)[0] == history.history["val_loss"][-1]


def test_one_seed_gives_one_result_and_shuffling_follows_it():
    x, y = blobs()
    weights = []
    for seed in (3, 3, 4):
        set_random_seed(seed)
        model = small()
        model.fit(x, y, epochs=2, verbose=0)
        weights.append(model.get_weights())
    assert all(np.array_equal(a, b) for a, b in zip(weights[0], weights[1], strict=True))
    assert not np.array_equal(weights[0][0], weights[2][0])


def test_callbacks_hear_and_can_stop():
    heard = []

    class Stop(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            heard.append("begin")

        def on_epoch_begin(self, epoch, logs=None):
            heard.append(epoch)

        def on_epoch_end(self, epoch, logs=None):
            heard.append(sorted(logs))
            self.model.stop_training = epoch == 1

        def on_train_end(self, logs=None):
            heard.append("end")

    history = small().fit(*blobs(), epochs=9, verbose=0, callbacks=[Stop()])
    assert heard == ["begin", 0, ["accuracy", "loss"], 1, ["accuracy", "loss"], "end"]
    assert history.epoch == [0, 1]


def test_training_goes_on_where_it_stopped():
    """Two fits of one epoch equal one of two: the optimizer keeps its moments."""
    x, y = blobs(64)
    once, twice = small(), small()
    twice.set_weights(once.get_weights())
    once.fit(x, y, epochs=2, shuffle=False, verbose=0)
    for _ in range(2):
        twice.fit(x, y, epochs=1, shuffle=False, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(once.get_weights(), twice.get_weights(), strict=True))


def test_predict_is_float32_and_casts_float64_and_uint8():
    model = small()
    x, _ = blobs(70)
    y = model.predict(x, verbose=0)
    assert type(y) is np.ndarray and y.dtype == np.float32 and y.shape == (70, 3)
    assert np.array_equal(model.predict(x.astype(np.float64), verbose=0), y)
    whole = np.arange(10, dtype=np.uint8).reshape(2, 5)
    assert np.array_equal(model.predict(whole, verbose=0), model.predict(whole.astype(np.float32), verbose=0))
    assert relative(model.predict(x, batch_size=70, verbose=0), y) <= 1e-6
    assert np.array_equal(model(x[:3]).detach().numpy(), model.predict(x[:3], verbose=0))


def test_model_is_built_by_the_first_data_when_no_shape_is_given():
    model = models.Sequential([layers.Flatten(), layers.Dense(2)])
    with pytest.raises(ValueError, match="'count_params' needs the shape of the input, which is not known yet"):
        model.count_params()
    assert model.predict(np.zeros((3, 4, 5)), verbose=0).shape == (3, 2)
    assert model.count_params() == 42 and model.input_shape == (None, 4, 5) and model.output_shape == (None, 2)


def test_weights_survive_a_file(tmp_path):
    model, other = small(), small()
    path = tmp_path / "model.weights.safetensors"
    model.save_weights(path)
    other.load_weights(path)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), other.get_weights(), strict=True))
    from safetensors.numpy import load_file

    stored = load_file(path)
    assert {name: array.shape for name, array in stored.items()} == {
        "layers.0.kernel": (5, 16), "layers.0.bias": (16,), "layers.1.kernel": (16, 3), "layers.1.bias": (3,)
    }  # fmt: skip
    wider = models.Sequential([layers.Dense(8, input_dim=5), layers.Dense(3)])
    with pytest.raises(CheckpointError, match=r"'layers.0.kernel': expected shape \(5, 8\), got \(5, 16\)"):
        wider.load_weights(path)
    with pytest.raises(CheckpointError, match=r"missing \[\], unexpected \['layers.1.bias', 'layers.1.kernel'\]"):
        models.Sequential([layers.Dense(16, input_dim=5)]).load_weights(path)


def test_summary_shows_layers_shapes_and_counts(capsys):
    model = models.Sequential([
        layers.Conv2D(32, (3, 3), activation="relu", input_shape=(28, 28, 1), name="first[x]"),
        layers.MaxPooling2D((2, 2)),
        layers.Flatten(), layers.Dense(128), layers.Dense(10),
    ], name="net")  # fmt: skip
    model.summary()
    text = capsys.readouterr().out
    for part in ('Model: "net"', "first[x] (Conv2D)", "(None, 26, 26, 32)", "320", "(None, 5408)", "692,352", "1,290"):
        assert part in text
    assert "Total params: 693,962 (2.65 MB)" in text and "Non-trainable params: 0 (0.00 B)" in text
    models.Sequential([layers.Dense(3)]).summary()
    assert "? (unbuilt)" in capsys.readouterr().out


def test_verbose_prints_bar_lines_or_nothing(capsys):
    x, y = blobs(64)
    model = small()
    model.fit(x, y, epochs=2, verbose=1, validation_data=(x, y))
    bar = capsys.readouterr().out
    assert "Epoch 2/2" in bar and "2/2" in bar and "val_accuracy: " in bar and "loss: " in bar
    model.fit(x, y, epochs=2, verbose=2)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and lines[0] == "Epoch 1/2" and lines[1].startswith("2/2 - 0s - ")
    assert "ms/step - loss: " in lines[1] or "us/step - loss: " in lines[1]
    model.evaluate(x, y, verbose=2)
    assert capsys.readouterr().out.startswith("2/2 - 0s - ")
    model.fit(x, y, verbose=0)
    model.predict(x, verbose=0)
    assert capsys.readouterr().out == ""


def test_names_count_up_as_in_keras():
    first, second = layers.MaxPooling2D(), layers.MaxPooling2D()
    assert first.name.startswith("max_pooling2d") and second.name.startswith("max_pooling2d_")
    assert layers.Conv2D(1, 1).name.startswith("conv2d") and layers.ReLU().name.startswith("re_lu")
    assert layers.MaxPool2D is layers.MaxPooling2D
    assert isinstance(keras.Input((3,)), layers.InputLayer)


def test_to_categorical():
    assert np.array_equal(to_categorical([0, 2, 1]), np.eye(3)[[0, 2, 1]])
    assert to_categorical(np.array([[1], [0]]), 4).shape == (2, 4)
    with pytest.raises(IndexError, match=r"to_categorical: argument 'x': expected labels in \[0, 3\), got 3"):
        to_categorical([0, 3], 3)
    with pytest.raises(IndexError, match="got -1"):
        to_categorical([0, -1])
    with pytest.raises(TypeError, match="expected whole numbers, got dtype float64"):
        to_categorical([0.5])


@pytest.mark.parametrize(("call", "error", "message"), BAD_INPUTS)
def test_bad_input_is_refused_with_words(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_refused_fit_leaves_the_model_as_it_was():
    model = small()
    before = model.get_weights()
    with pytest.raises(IndexError):
        model.fit(blobs(20)[0], np.full(20, 3), verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    model.fit(*blobs(20), verbose=0)
