// The device "npu" of the stand-in: a torch device of its own whose memory is the host's.
//
// Tensors are of device type PrivateUse1, as torch_npu's are: the dispatcher, `Tensor.device`, storages, views,
// copies between devices and device guards are torch's own. What an operator computes is computed by the
// cpu, on copies (`at::native::cpu_fallback`). The allocator counts bytes, has a limit, and fails beyond it with
// torch_npu's exception and words.

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/ops/_copy_from_and_resize.h>
#include <ATen/ops/_local_scalar_dense.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/resize_native.h>
#include <ATen/ops/set_cpu_dispatch.h>
#include <ATen/ops/view_native.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include <cstdlib>
#include <mutex>
#include <vector>

namespace {

constexpr auto NPU = c10::DeviceType::PrivateUse1;

struct Memory {
  int64_t allocated = 0;
  int64_t reserved = 0;  // what was allocated and freed stays reserved until the cache is emptied
  int64_t peak = 0;
  int64_t refused = 0;
};

std::mutex mutex;
std::vector<Memory> devices;
int64_t capacity = 0;
int64_t largest_block = 0;
thread_local c10::DeviceIndex current = 0;

std::string gib(int64_t bytes) {
  char text[32];
  snprintf(text, sizeof text, bytes < (1 << 30) ? "%.2f MiB" : "%.2f GiB",
           bytes / (bytes < (1 << 30) ? 1048576.0 : 1073741824.0));
  return text;
}

struct Block {
  void* data;
  int64_t bytes;
  c10::DeviceIndex device;
};

void give_back(void* context) {
  auto* block = static_cast<Block*>(context);
  {
    std::lock_guard<std::mutex> lock(mutex);
    devices[block->device].allocated -= block->bytes;
  }
  std::free(block->data);
  delete block;
}

struct NpuAllocator final : c10::Allocator {
  c10::DataPtr allocate(size_t wanted) override {
    c10::Device device(NPU, current);
    if (wanted == 0) {
      return {nullptr, device};
    }
    const int64_t bytes = (static_cast<int64_t>(wanted) + 511) / 512 * 512;
    {
      std::lock_guard<std::mutex> lock(mutex);
      Memory& memory = devices.at(current);
      if (memory.allocated + bytes > capacity || bytes > largest_block) {
        memory.refused += 1;
        TORCH_CHECK_WITH(
            OutOfMemoryError, false, "NPU out of memory. Tried to allocate ", gib(bytes), " (NPU ",
            static_cast<int>(current), "; ", gib(capacity), " total capacity; ", gib(memory.allocated),
            " already allocated; ", gib(memory.allocated), " current active; ",
            gib(capacity - memory.reserved), " free; ", gib(memory.reserved),
            " reserved in total by PyTorch) If reserved memory is >> allocated memory try setting "
            "max_split_size_mb to avoid fragmentation.");
      }
      memory.allocated += bytes;
      memory.peak = std::max(memory.peak, memory.allocated);
      memory.reserved = std::max(memory.reserved, memory.allocated);
    }
    void* data = std::aligned_alloc(512, bytes);
    TORCH_CHECK(data != nullptr, "the host has no memory for the stand-in's device");
    return {data, new Block{data, bytes, current}, &give_back, device};
  }
  c10::DeleterFnPtr raw_deleter() const override {
    return nullptr;
  }
  void copy_data(void* to, const void* from, std::size_t count) const override {
    default_copy_data(to, from, count);
  }
};

NpuAllocator allocator;

void use(c10::DeviceIndex index) {
  TORCH_CHECK(index >= 0 && static_cast<size_t>(index) < devices.size(),
              "aclrtSetDevice failed, error code is 107001: invalid device ID ", static_cast<int>(index));
  current = index;
}

struct NpuGuard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override {
    return NPU;
  }
  c10::Device exchangeDevice(c10::Device device) const override {
    c10::Device before(NPU, current);
    setDevice(device);
    return before;
  }
  c10::Device getDevice() const override {
    return {NPU, current};
  }
  void setDevice(c10::Device device) const override {
    use(device.index());
  }
  void uncheckedSetDevice(c10::Device device) const noexcept override {
    current = device.index();
  }
  c10::Stream getStream(c10::Device device) const override {
    return c10::Stream(c10::Stream::DEFAULT, device);
  }
  c10::Stream getDefaultStream(c10::Device device) const override {
    return c10::Stream(c10::Stream::DEFAULT, device);
  }
  c10::Stream exchangeStream(c10::Stream stream) const override {
    return stream;
  }
  c10::DeviceIndex deviceCount() const noexcept override {
    return static_cast<c10::DeviceIndex>(devices.size());
  }
  bool queryStream(const c10::Stream&) const override {
    return true;
  }
  void synchronizeStream(const c10::Stream&) const override {}
  void synchronizeDevice(const c10::DeviceIndex) const override {}
};

// Numbers are drawn by the generator of the host that stands behind it.
struct NpuGenerator final : c10::GeneratorImpl {
  explicit NpuGenerator(c10::DeviceIndex index)
      : c10::GeneratorImpl(c10::Device(NPU, index), c10::DispatchKeySet(c10::DispatchKey::PrivateUse1)),
        host(at::detail::createCPUGenerator()) {}
  void set_current_seed(uint64_t seed) override {
    host.set_current_seed(seed);
  }
  void set_offset(uint64_t offset) override {
    host.set_offset(offset);
  }
  uint64_t get_offset() const override {
    return host.get_offset();
  }
  uint64_t current_seed() const override {
    return host.current_seed();
  }
  uint64_t seed() override {
    return host.seed();
  }
  void set_state(const c10::TensorImpl& state) override {
    host.unsafeGetGeneratorImpl()->set_state(state);
  }
  c10::intrusive_ptr<c10::TensorImpl> get_state() const override {
    return host.unsafeGetGeneratorImpl()->get_state();
  }
  NpuGenerator* clone_impl() const override {
    auto* copy = new NpuGenerator(device_.index());
    copy->host = host.clone();
    return copy;
  }

  at::Generator host;
};

struct Hooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override {
    return true;
  }
  bool isAvailable() const override {
    return !devices.empty();
  }
  bool hasPrimaryContext(c10::DeviceIndex) const override {
    return true;
  }
  c10::DeviceIndex deviceCount() const override {
    return static_cast<c10::DeviceIndex>(devices.size());
  }
  void setCurrentDevice(c10::DeviceIndex index) const override {
    use(index);
  }
  c10::DeviceIndex getCurrentDevice() const override {
    return current;
  }
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex index) const override {
    auto before = current;
    use(index);
    return before;
  }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex index) const override {
    return exchangeDevice(index);
  }
  const at::Generator& getDefaultGenerator(c10::DeviceIndex index) const override {
    static std::vector<at::Generator> generators;
    const size_t place = index < 0 ? current : index;
    while (generators.size() <= place) {
      generators.push_back(at::make_generator<NpuGenerator>(static_cast<c10::DeviceIndex>(generators.size())));
    }
    return generators[place];
  }
  at::Generator getNewGenerator(c10::DeviceIndex index) const override {
    return at::make_generator<NpuGenerator>(index < 0 ? current : index);
  }
  c10::Device getDeviceFromPtr(void*) const override {
    return {NPU, current};
  }
  c10::Allocator* getPinnedMemoryAllocator() const override {
    return c10::GetAllocator(c10::DeviceType::CPU);
  }
};

Hooks hooks;

at::Tensor empty(
    at::IntArrayRef size,
    std::optional<at::ScalarType> dtype,
    std::optional<at::Layout>,
    std::optional<at::Device> device,
    std::optional<bool>,
    std::optional<at::MemoryFormat> format) {
  const c10::OptionalDeviceGuard guard(device);
  return at::detail::empty_generic(
      size, &allocator, c10::DispatchKeySet(c10::DispatchKey::PrivateUse1), c10::dtype_or_default(dtype), format);
}

at::Tensor empty_strided(
    at::IntArrayRef size,
    at::IntArrayRef stride,
    std::optional<at::ScalarType> dtype,
    std::optional<at::Layout>,
    std::optional<at::Device> device,
    std::optional<bool>) {
  const c10::OptionalDeviceGuard guard(device);
  return at::detail::empty_strided_generic(
      size, stride, &allocator, c10::DispatchKeySet(c10::DispatchKey::PrivateUse1), c10::dtype_or_default(dtype));
}

// The same bytes as a tensor of the host.
at::Tensor on_host(const at::Tensor& tensor) {
  if (tensor.device().type() != NPU) {
    return tensor;
  }
  return at::from_blob(
      tensor.data_ptr(), tensor.sizes(), tensor.strides(), tensor.options().device(c10::DeviceType::CPU));
}

at::Tensor copy_from(const at::Tensor& from, const at::Tensor& to, bool) {
  on_host(to).copy_(on_host(from));
  return to;
}

at::Tensor copy_from_and_resize(const at::Tensor& from, const at::Tensor& to) {
  to.resize_(from.sizes());
  return copy_from(from, to, false);
}

at::Scalar local_scalar_dense(const at::Tensor& tensor) {
  return at::_local_scalar_dense(on_host(tensor));
}

const at::Tensor& resize_(
    const at::Tensor& tensor, at::IntArrayRef size, std::optional<at::MemoryFormat> format) {
  const c10::DeviceGuard guard(tensor.device());
  return at::native::resize_(tensor, size, format);
}

at::Tensor as_strided(
    const at::Tensor& tensor, at::IntArrayRef size, at::IntArrayRef stride, std::optional<int64_t> offset) {
  return at::native::as_strided_tensorimpl(tensor, size, stride, offset);
}

at::Tensor view(const at::Tensor& tensor, at::IntArrayRef size) {
  return at::native::view(tensor, size);
}

at::Tensor reshape_alias(const at::Tensor& tensor, at::IntArrayRef size, at::IntArrayRef stride) {
  return at::native::_reshape_alias(tensor, size, stride);
}

at::Tensor& set_storage(
    at::Tensor& tensor, at::Storage storage, int64_t offset, at::IntArrayRef size, at::IntArrayRef stride) {
  return at::cpu::set_(tensor, std::move(storage), offset, size, stride);
}

at::Tensor& set_tensor(at::Tensor& tensor, const at::Tensor& source) {
  return at::cpu::set_(tensor, source);
}

void by_the_host(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  for (size_t at = stack->size() - op.schema().arguments().size(); at < stack->size(); ++at) {
    c10::IValue& argument = (*stack)[at];
    if (argument.isGenerator() && argument.toGenerator().device().type() == NPU) {
      const auto generator = argument.toGenerator();
      argument = static_cast<NpuGenerator*>(generator.unsafeGetGeneratorImpl())->host;
    }
  }
  at::native::cpu_fallback(op, stack, /*error_on_views=*/true);
}

void configure(int64_t count, int64_t bytes, int64_t largest_bytes) {
  devices.assign(count, Memory{});
  capacity = bytes;
  largest_block = largest_bytes;
}

void seed(int64_t device, int64_t number) {
  auto generator = hooks.getDefaultGenerator(static_cast<c10::DeviceIndex>(device));
  generator.set_current_seed(static_cast<uint64_t>(number));
}

// Allocated, reserved, peak, refused, capacity.
std::vector<int64_t> memory(int64_t device) {
  std::lock_guard<std::mutex> lock(mutex);
  const Memory& of = devices.at(device);
  return {of.allocated, of.reserved, of.peak, of.refused, capacity};
}

void empty_cache(int64_t device) {
  std::lock_guard<std::mutex> lock(mutex);
  devices.at(device).reserved = devices.at(device).allocated;
}

void reset_peak(int64_t device) {
  std::lock_guard<std::mutex> lock(mutex);
  devices.at(device).peak = devices.at(device).allocated;
}

void set_device(int64_t device) {
  use(static_cast<c10::DeviceIndex>(device));
}

int64_t current_device() {
  return current;
}

}  // namespace

namespace c10::impl {
C10_REGISTER_GUARD_IMPL(PrivateUse1, NpuGuard);
}

REGISTER_ALLOCATOR(c10::DeviceType::PrivateUse1, &allocator);

static const bool hooks_are_registered = [] {
  at::RegisterPrivateUse1HooksInterface(&hooks);
  return true;
}();

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", empty);
  m.impl("empty_strided", empty_strided);
  m.impl("_copy_from", copy_from);
  m.impl("_copy_from_and_resize", copy_from_and_resize);
  m.impl("_local_scalar_dense", local_scalar_dense);
  m.impl("resize_", resize_);
  m.impl("as_strided", as_strided);
  m.impl("view", view);
  m.impl("_reshape_alias", reshape_alias);
  m.impl("set_.source_Storage_storage_offset", set_storage);
  m.impl("set_.source_Tensor", set_tensor);
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) {
  m.fallback(torch::CppFunction::makeFromBoxedFunction<&by_the_host>());
}

TORCH_LIBRARY(stand_in_npu, m) {
  m.def("configure(int count, int bytes, int largest_bytes) -> ()", configure);
  m.def("seed(int device, int number) -> ()", seed);
  m.def("memory(int device) -> int[]", memory);
  m.def("empty_cache(int device) -> ()", empty_cache);
  m.def("reset_peak(int device) -> ()", reset_peak);
  m.def("set_device(int device) -> ()", set_device);
  m.def("current_device() -> int", current_device);
}
