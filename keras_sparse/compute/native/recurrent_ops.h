// The TensorFlow ops of recurrent layers.
//
//   KerasSparseRecurrence(x, mask, h, c, values, recurrent_values, bias, recurrent_bias, recurrent_ids, recurrent_rows,
//                         ids, rows) -> y, c_after, saved
//   KerasSparseRecurrenceGradients(x, mask, h, c, values, recurrent_values, saved, dy, dc_after, recurrent_ids,
//                         recurrent_rows, ids, rows)
//       -> dx, dh, dc, dvalues, drecurrent_values, dbias, drecurrent_bias
//
// x is [batch, time, n_in], mask [batch, time] or empty, h and c [batch, units] (c empty but for an LSTM), y
// [batch, time, units] with `every`, else [batch, 1, units]. `saved` is for the backward only, and empty without `keep`.
// `cell`: 0 LSTM, 1 GRU, 2 without gates. Biases are [gates · units] or empty.
#pragma once

namespace keras_sparse {

// The name of the op that TensorFlow refuses; null if it takes all.
const char* register_recurrences();

}  // namespace keras_sparse
