"""What the Keras face must refuse: for each a call, the exception's type and a pattern of its message."""

from __future__ import annotations

import math

import numpy as np

from pylayers.keras import layers, losses, models, optimizers

X = np.random.default_rng(0).standard_normal((20, 5)).astype(np.float32)
Y = np.arange(20) % 3


def ready() -> models.Sequential:
    """A compiled model for X and Y."""
    model = models.Sequential([layers.Dense(16, input_shape=(5,)), layers.Dense(3, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    return model


def fit(x=X, y=Y, **options):
    return ready().fit(x, y, **({"verbose": 0} | options))


def twice():
    layer = layers.Dense(3)
    return models.Sequential([layer, layer])


LAYERS = [
    (lambda: layers.Dense(0), ValueError, r"dense\w*: argument 'units': expected a positive integer, got 0"),
    (lambda: layers.Dense(3.0), TypeError, "'units': expected an integer, got 3.0"),
    (lambda: layers.Dense(3, activation="relo"), ValueError,
     "activations: argument 'identifier': expected one of 'linear', 'relu', .*, got 'relo'"),
    (lambda: layers.Dense(3, activation=4), TypeError, "activations: .* expected an object or one of .*, got int"),
    (lambda: layers.Dense(3, activation=lambda x: 1)(X), TypeError, "a function from Tensor to Tensor, got int"),
    (lambda: layers.Dense(3, kernel_initializer="xavier"), ValueError,
     "initializers: argument 'identifier': expected one of 'glorot_uniform', .*, got 'xavier'"),
    (lambda: layers.Conv2D(4, 3, padding="full"), ValueError, "'padding': expected 'valid' or 'same', got 'full'"),
    (lambda: layers.Conv2D(4, (3, 3, 3)), ValueError, "'kernel_size': expected one integer or two"),
    (lambda: layers.Conv2D(4, 3, strides=0), ValueError, "'strides': expected a positive integer, got 0"),
    (lambda: layers.Conv2D(4, 3, groups=3), ValueError, "'groups': expected a divisor of the 4 filters, got 3"),
    (lambda: layers.Conv2D(4, 3, groups=2)(np.zeros((1, 4, 4, 3))), ValueError, "'x': expected channels that 2 groups"),
    (lambda: layers.Conv2D(4, 3, data_format="channels_first"), NotImplementedError, "only 'channels_last' is there"),
    (lambda: layers.Conv2D(4, 5)(np.zeros((1, 4, 9, 1))), ValueError, "an image of at least 5 pixels .*, got 4"),
    (lambda: layers.MaxPooling2D(3)(np.zeros((1, 2, 9, 1))), ValueError, "an image of at least 3 pixels .*, got 2"),
    (lambda: layers.Conv2D(4, 3)(np.zeros((1, 9, 9))), ValueError,
     r"'x': expected shape \(batch, height, width, channels\), got \(None, 9, 9\)"),
    (lambda: layers.Dropout(1.5), ValueError, r"'rate': expected a number in \[0, 1\], got 1.5"),
    (lambda: layers.Dropout(math.nan), ValueError, r"'rate': expected a number in \[0, 1\], got nan"),
    (lambda: layers.Dense(3, input_shape=(0,)), ValueError, "'input_shape': expected positive integers or None"),
    (lambda: layers.Dense(3, input_shape=(2,), input_dim=2), ValueError, "either 'input_dim' or 'input_shape'"),
    (lambda: layers.Dense(2).kernel, AttributeError, "no 'kernel': the layer is not built"),
    (lambda: layers.Flatten()(np.array([None])), TypeError, r"flatten\w*: argument 'x': expected an array of numbers"),
    (lambda: ready()([["a"]]), TypeError, r"sequential\w*: argument 'x': expected an array of numbers, got dtype"),
]  # fmt: skip
MODELS = [
    (lambda: models.Sequential([layers.Dense]), TypeError, r"'layer': expected a layer, got Dense \(a class\)"),
    (lambda: models.Sequential([layers.Dense(3), layers.Input((3,))]), ValueError, "an input only as the first layer"),
    (lambda: models.Sequential([layers.Dense(2, name="a"), layers.Dense(3, name="a")]), ValueError,
     "'layer': expected a name that no other layer has, got 'a'"),
    (twice, ValueError, "a name that no other layer has"),
    (lambda: models.Sequential().build((None, 3)), ValueError, "'layers': expected one layer or more, got none"),
    (lambda: ready().compile("sgdd", "mse"), ValueError,
     "optimizers: argument 'identifier': expected one of 'sgd', 'adam', 'adamw', got 'sgdd'"),
    (lambda: ready().compile("adam", "hinge"), ValueError,
     "losses: argument 'identifier': expected one of 'binary_crossentropy', .*, got 'hinge'"),
    (lambda: ready().compile("adam", "mse", ["f1"]), ValueError,
     "metrics: argument 'identifier': expected one of 'accuracy', .*, got 'f1'"),
    (lambda: ready().compile("adam", "mse", "accuracy"), TypeError, "expected a list of names or metrics, got str"),
    (lambda: ready().compile(loss="mse"), NotImplementedError,
     "compile: the optimizer defaults to 'rmsprop', .* not there yet; pass optimizer='adam'"),
    (lambda: layers.Dense(3)(layers.Input((5,))), NotImplementedError,
     r"dense\w*: called on 'input_layer\w*': the functional API is not there yet; stack the layers instead"),
    (lambda: ready()(layers.Input((5,))), NotImplementedError, "sequential.*the functional API is not there yet"),
    (lambda: ready().compile(3, "mse"), TypeError, "expected an object or one of 'sgd', 'adam', 'adamw', got int"),
    (lambda: models.Sequential([layers.Dense(3)]).fit(X, Y), RuntimeError, "fit: the model has no loss yet; call"),
    (lambda: ready().set_weights([1]), ValueError, "'weights': expected 4 arrays, got 1"),
    (lambda: ready().set_weights([np.zeros((5, 15))] * 4), ValueError, r"expected shape \(5, 16\), got \(5, 15\)"),
]  # fmt: skip
SETTINGS = [
    (lambda: optimizers.Adam(math.nan), ValueError,
     "adam: argument 'learning_rate': expected a finite number, not negative, got nan"),
    (lambda: optimizers.SGD(-0.1), ValueError, "'learning_rate': expected a finite number, not negative, got -0.1"),
    (lambda: optimizers.Adam("0.1"), TypeError, "'learning_rate': expected a number, got '0.1'"),
    (lambda: optimizers.Adam(beta_1=1.0), ValueError, r"'beta_1': expected a number in \[0, 1\), got 1.0"),
    (lambda: optimizers.Adam(epsilon=0.0), ValueError, "'epsilon': expected a positive number, got 0.0"),
    (lambda: optimizers.AdamW(weight_decay=math.nan), ValueError, "'weight_decay': expected a finite number"),
    (lambda: optimizers.SGD(momentum=2.0), ValueError, r"'momentum': expected a number in \[0, 1\], got 2.0"),
    (lambda: optimizers.SGD(nesterov=True), ValueError, "'momentum': expected a positive number for Nesterov's"),
    (lambda: losses.MeanSquaredError(reduction="max"), ValueError, "'reduction': expected one of 'sum_over_batch"),
    (lambda: losses.BinaryCrossentropy(label_smoothing=2), ValueError, r"'label_smoothing': expected a number in \["),
    (lambda: losses.BinaryCrossentropy()(np.array([[2]]), np.array([[0.5]])), ValueError,
     r"binary_crossentropy: argument 'y_true': expected targets in \[0, 1\]"),
    (lambda: losses.MeanSquaredError()(np.zeros((2, 3)), np.zeros((2, 4))), ValueError,
     r"'y_true': expected shape \(2, 4\) as the model's output, got \(2, 3\)"),
]  # fmt: skip
DATA = [
    (lambda: fit(y=Y[:-1]), ValueError, "fit: argument 'y': expected 20 targets, .* got 19"),
    (lambda: fit(X[:, :4]), ValueError,
     r"fit: argument 'x': expected shape \(None, 5\) as the model's input, got \(20, 4\)"),
    (lambda: ready().predict(X[:, :4]), ValueError, r"predict: argument 'x': expected shape \(None, 5\)"),
    (lambda: ready().predict(np.zeros((0, 5))), ValueError, "one example or more along the first axis"),
    (lambda: fit([[1.0], [1.0, 2.0]]), TypeError, "fit: argument 'x': expected an array of numbers, got list"),
    (lambda: fit(np.array([None] * 5)), TypeError, "expected an array of numbers, got dtype object"),
    (lambda: fit(iter([1])), NotImplementedError, "generators are not there yet"),
    (lambda: fit(validation_split=1.0), ValueError,
     "fit: argument 'validation_split': expected a number between 0 and 1, got 1.0"),
    (lambda: fit(validation_split=-0.1), ValueError, "'validation_split': expected a number between 0 and 1, got -0.1"),
    (lambda: fit(validation_split=math.nan), ValueError, "expected a number between 0 and 1, got nan"),
    (lambda: fit(validation_split=0.999), ValueError, "a share that leaves examples on both sides"),
    (lambda: fit(validation_data=X), ValueError, r"'validation_data': expected a pair \(x, y\)"),
    (lambda: fit(batch_size=0), ValueError, "'batch_size': expected a positive integer, got 0"),
    (lambda: fit(epochs=1.5), TypeError, "'epochs': expected a positive integer, got 1.5"),
    (lambda: fit(verbose=3), ValueError, "'verbose': expected 'auto', 0, 1 or 2, got 3"),
    (lambda: fit(class_weight={0: 1.0}), NotImplementedError, "class_weight and sample_weight are not there yet"),
    (lambda: fit(sample_weight=Y), NotImplementedError, "class_weight and sample_weight are not there yet"),
    (lambda: fit(y=np.full(20, 3)), IndexError,
     r"sparse_categorical_crossentropy: argument 'labels': expected class indices in \[0, 3\), got 3"),
    (lambda: fit(y=np.full(20, -1)), IndexError, r"expected class indices in \[0, 3\), got -1"),
    (lambda: fit(y=Y + 0.5), TypeError, "'y_true': expected integer labels, got dtype float64"),
    (lambda: fit(y=np.eye(3)[Y]), ValueError, "one-hot targets go with 'categorical_crossentropy'"),
]  # fmt: skip
BAD_INPUTS = [*LAYERS, *MODELS, *SETTINGS, *DATA]
