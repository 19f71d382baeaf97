"""A SavedModel or a .keras file by TensorFlow: one call of the serving signature, or of the Keras model."""
import os
import pathlib

from runner import Problem, Session, serve, units_of

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def open_model(tf, given, inputs):
    if given.threads:
        tf.config.threading.set_intra_op_parallelism_threads(given.threads)
    ids = inputs.tokenized()
    if pathlib.Path(given.model).is_dir():
        loaded = tf.saved_model.load(given.model)
        if not loaded.signatures:
            raise Problem("it has no signature to call: save it with one (tf.saved_model.save(..., signatures=...))")
        name = "serving_default" if "serving_default" in loaded.signatures else sorted(loaded.signatures)[0]
        function = loaded.signatures[name]
        described = function.structured_input_signature[1]
        feed = {key: tf.constant(inputs.array(key, list(spec.shape), spec.dtype.name, ids)) for key, spec in sorted(described.items())}

        def run():
            function(**feed)
    else:
        model = tf.keras.models.load_model(given.model, compile=False)
        feed = {item.name: tf.constant(inputs.array(item.name, list(item.shape), item.dtype, ids)) for item in model.inputs}
        values = list(feed.values())

        def run():
            model(values if len(values) > 1 else values[0], training=False)
        loaded = model
    run.kept = loaded  # a signature does not keep its model alive
    units = units_of([(list(value.shape), value.dtype.is_integer) for value in feed.values()])
    return Session(run, units, ", ".join(inputs.made), f"tensorflow {tf.__version__}")


serve("TensorFlow model", "tensorflow", "tensorflow-cpu", open_model)
