#include "tensorflow_c_api.h"

#include <dlfcn.h>

namespace keras_sparse {

bool TensorFlow::find(const char** missing) {
#if defined(__APPLE__)
  const char* library = "libtensorflow_framework.2.dylib";
#else
  const char* library = "libtensorflow_framework.so.2";
#endif
  void* handle = dlopen(library, RTLD_LAZY | RTLD_NOLOAD);
  if (!handle) handle = RTLD_DEFAULT;
#define KERAS_SPARSE_FIND(name, result, arguments)                   \
  name = reinterpret_cast<result(*) arguments>(dlsym(handle, #name)); \
  if (!name) {                                                       \
    *missing = #name;                                                \
    return false;                                                    \
  }
  KERAS_SPARSE_TENSORFLOW_FUNCTIONS(KERAS_SPARSE_FIND)
#undef KERAS_SPARSE_FIND
  return true;
}

}  // namespace keras_sparse
