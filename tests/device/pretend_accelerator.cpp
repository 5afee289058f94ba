// A pretended accelerator: memory of the processor under another device's name.
//
// Every operation runs on the processor, but tensors of both devices in one operation, a generator
// of the wrong device, and numpy on a device tensor are errors, as on a GPU. So the placement of
// tensors is tested where there is no GPU.

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/autocast_mode.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <c10/core/impl/alloc_cpu.h>
#include <torch/extension.h>
#include <torch/library.h>

namespace {

using at::Generator;
using at::IntArrayRef;
using at::Tensor;
using c10::SymIntArrayRef;

constexpr auto KIND = c10::DeviceType::PrivateUse1;
const c10::Device DEVICE(KIND, 0);
const c10::DispatchKeySet KEYS(c10::DispatchKey::PrivateUse1);

struct Allocator final : c10::Allocator {
  c10::DataPtr allocate(size_t size) override {
    void* memory = c10::alloc_cpu(size ? size : 1);
    return {memory, memory, &c10::free_cpu, DEVICE};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &c10::free_cpu; }
  void copy_data(void* to, const void* from, std::size_t size) const override {
    memcpy(to, from, size);
  }
};
Allocator allocator;

// A generator of the device, which draws what one of the processor would.
struct DeviceGenerator : c10::GeneratorImpl {
  Generator inner;
  DeviceGenerator() : c10::GeneratorImpl(DEVICE, KEYS), inner(at::detail::createCPUGenerator()) {}
  void set_current_seed(uint64_t seed) override { inner.set_current_seed(seed); }
  void set_offset(uint64_t) override {}
  uint64_t get_offset() const override { return 0; }
  uint64_t current_seed() const override { return inner.current_seed(); }
  uint64_t seed() override { return inner.seed(); }
  void set_state(const c10::TensorImpl& state) override {
    inner.unsafeGetGeneratorImpl()->set_state(state);
  }
  c10::intrusive_ptr<c10::TensorImpl> get_state() const override {
    return inner.unsafeGetGeneratorImpl()->get_state();
  }
  DeviceGenerator* clone_impl() const override {
    auto* made = new DeviceGenerator();
    made->inner = inner.clone();
    return made;
  }
};

Generator& default_generator() {
  static Generator made = at::make_generator<DeviceGenerator>();
  return made;
}

Generator inner_of(const Generator& given) {
  return static_cast<DeviceGenerator*>(given.unsafeGetGeneratorImpl())->inner;
}

struct Hooks : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  const Generator& getDefaultGenerator(c10::DeviceIndex) const override {
    return default_generator();
  }
  Generator getNewGenerator(c10::DeviceIndex) const override {
    return at::make_generator<DeviceGenerator>();
  }
  void resizePrivateUse1Bytes(const c10::Storage& storage, size_t size) const override {
    at::native::resize_bytes_cpu(storage.unsafeGetStorageImpl(), size);
  }
};
Hooks hooks;

struct Guard final : c10::impl::NoOpDeviceGuardImpl<KIND> {
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
  c10::Device getDevice() const override { return DEVICE; }
  c10::Stream getStream(c10::Device) const noexcept override {
    return c10::Stream(c10::Stream::DEFAULT, DEVICE);
  }
  void record(void**, const c10::Stream&, const c10::DeviceIndex, const c10::EventFlag)
      const override {}
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
};
C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard)

// The same memory as a tensor of the processor.
Tensor over_cpu(const Tensor& given) {
  if (given.device().type() != KIND) return given;
  c10::Storage storage(
      c10::Storage::use_byte_size_t(), given.storage().nbytes(),
      c10::DataPtr(given.storage().mutable_data(), c10::Device(c10::kCPU)), nullptr, false);
  auto made = at::detail::make_tensor<c10::TensorImpl>(
      std::move(storage), c10::DispatchKeySet(c10::DispatchKey::CPU), given.dtype());
  made.unsafeGetTensorImpl()->set_storage_offset(given.storage_offset());
  made.unsafeGetTensorImpl()->set_sizes_and_strides(given.sizes(), given.strides());
  return made;
}

Tensor to_device(const Tensor& given) {
  if (!given.defined()) return given;
  auto made = at::empty(given.sizes(), given.options().device(DEVICE));
  made.copy_(given);
  return made;
}

at::ScalarType type_or_default(std::optional<at::ScalarType> type) {
  return type.value_or(at::typeMetaToScalarType(at::get_default_dtype()));
}

Tensor empty(
    IntArrayRef size, std::optional<at::ScalarType> type, std::optional<at::Layout>,
    std::optional<at::Device>, std::optional<bool>, std::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(size, &allocator, KEYS, type_or_default(type), format);
}

Tensor empty_strided(
    IntArrayRef size, IntArrayRef stride, std::optional<at::ScalarType> type,
    std::optional<at::Layout>, std::optional<at::Device>, std::optional<bool>) {
  return at::detail::empty_strided_generic(
      size, stride, &allocator, KEYS, type_or_default(type));
}

Tensor copy_from(const Tensor& from, const Tensor& to, bool) {
  over_cpu(to).copy_(over_cpu(from));
  return to;
}

Tensor copy_from_and_resize(const Tensor& from, const Tensor& to) {
  if (to.sizes() != from.sizes()) const_cast<Tensor&>(to).resize_(from.sizes());
  return copy_from(from, to, false);
}

at::Scalar local_scalar(const Tensor& given) { return over_cpu(given).item(); }

Tensor strided(
    const Tensor& given, IntArrayRef size, IntArrayRef stride, std::optional<int64_t> offset) {
  return at::native::as_strided_tensorimpl(given, size, stride, offset);
}

Tensor viewed(const Tensor& given, SymIntArrayRef size) {
  return at::native::view(given, C10_AS_INTARRAYREF_SLOW(size));
}

Tensor reshaped(const Tensor& given, IntArrayRef size, IntArrayRef stride) {
  return at::native::as_strided_tensorimpl(given, size, stride, given.storage_offset());
}

const Tensor& resized(
    const Tensor& given, SymIntArrayRef size, std::optional<at::MemoryFormat> format) {
  return at::native::resize_(given, C10_AS_INTARRAYREF_SLOW(size), format);
}

Tensor& set_storage(
    Tensor& given, c10::Storage storage, c10::SymInt offset, SymIntArrayRef size,
    SymIntArrayRef stride) {
  auto* made = given.unsafeGetTensorImpl();
  made->set_storage_keep_dtype(storage);
  made->set_storage_offset(offset.expect_int());
  made->set_sizes_and_strides(C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride));
  return given;
}

Tensor& set_tensor(Tensor& given, const Tensor& source) {
  auto* made = given.unsafeGetTensorImpl();
  made->set_storage_keep_dtype(source.storage());
  made->set_storage_offset(source.storage_offset());
  made->set_sizes_and_strides(source.sizes(), source.strides());
  return given;
}

void check_same(const Tensor& one, const Tensor& other) {
  TORCH_CHECK(one.device() == other.device(), "Expected all tensors on the same device");
}

Tensor convolution(
    const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias,
    SymIntArrayRef stride, SymIntArrayRef padding, SymIntArrayRef dilation, bool transposed,
    SymIntArrayRef output_padding, c10::SymInt groups) {
  check_same(x, weight);
  std::optional<Tensor> shift;
  if (bias.has_value() && bias->defined()) {
    check_same(x, *bias);
    shift = over_cpu(*bias);
  }
  return to_device(at::convolution(
      over_cpu(x), over_cpu(weight), shift, C10_AS_INTARRAYREF_SLOW(stride),
      C10_AS_INTARRAYREF_SLOW(padding), C10_AS_INTARRAYREF_SLOW(dilation), transposed,
      C10_AS_INTARRAYREF_SLOW(output_padding), groups.expect_int()));
}

std::tuple<Tensor, Tensor, Tensor> convolution_backward(
    const Tensor& gradient, const Tensor& x, const Tensor& weight, SymIntArrayRef stride,
    SymIntArrayRef padding, SymIntArrayRef dilation, bool transposed,
    SymIntArrayRef output_padding, c10::SymInt groups, std::array<bool, 3> mask) {
  check_same(x, weight);
  check_same(gradient, x);
  std::vector<int64_t> bias = {gradient.size(1)};
  auto [dx, dw, db] = at::convolution_backward(
      over_cpu(gradient), over_cpu(x), over_cpu(weight), at::OptionalIntArrayRef(bias),
      C10_AS_INTARRAYREF_SLOW(stride), C10_AS_INTARRAYREF_SLOW(padding),
      C10_AS_INTARRAYREF_SLOW(dilation), transposed, C10_AS_INTARRAYREF_SLOW(output_padding),
      groups.expect_int(), mask);
  return {to_device(dx), to_device(dw), to_device(db)};
}

bool takes_any_index(const std::string& name) {
  return name.find("aten::index") == 0 || name.find("aten::_index_put") == 0 ||
      name.find("aten::_unsafe_index") == 0;
}

// Tensors of the processor beside those of the device are refused, but for numbers and indices.
void check_devices(const c10::FunctionSchema& schema, c10::ArrayRef<c10::IValue> arguments) {
  bool on_device = false;
  std::string stranger;
  auto look = [&](const Tensor& given, const std::string& argument) {
    if (!given.defined()) return;
    if (given.device().type() == KIND) {
      on_device = true;
    } else if (given.dim() > 0 && !(argument == "indices" && takes_any_index(schema.name()))) {
      stranger = argument;
    }
  };
  for (size_t k = 0; k < arguments.size(); k++) {
    const auto& value = arguments[k];
    const auto& name = schema.arguments()[k].name();
    if (value.isTensor()) {
      look(value.toTensor(), name);
    } else if (value.isTensorList()) {
      for (const auto& given : value.toTensorVector()) look(given, name);
    } else if (value.isOptionalTensorList()) {
      for (const auto& given : value.toOptionalTensorList().vec())
        if (given.has_value()) look(*given, name);
    }
  }
  TORCH_CHECK(
      !on_device || stranger.empty(), "Expected all tensors on the same device: ", schema.name(),
      " has '", stranger, "' on the processor");
}

void fallback(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const auto& schema = op.schema();
  size_t count = schema.arguments().size();
  check_devices(schema, torch::jit::last(*stack, count));
  for (size_t k = 0; k < count; k++) {
    auto& value = (*stack)[stack->size() - count + k];
    if (value.isGenerator()) {
      auto given = value.toGenerator();
      TORCH_CHECK(
          given.device().type() == KIND, schema.name(), " got a generator of the processor");
      value = c10::IValue(inner_of(given));
    } else if (value.isNone() && schema.arguments()[k].name() == "generator") {
      value = c10::IValue(inner_of(default_generator()));
    }
  }
  at::native::cpu_fallback(op, stack);
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&fallback>());
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("empty.memory_format", &empty);
  library.impl("empty_strided", &empty_strided);
  library.impl("_copy_from", &copy_from);
  library.impl("_copy_from_and_resize", &copy_from_and_resize);
  library.impl("_local_scalar_dense", &local_scalar);
  library.impl("as_strided", &strided);
  library.impl("view", &viewed);
  library.impl("_reshape_alias", &reshaped);
  library.impl("resize_", &resized);
  library.impl("set_.source_Storage_storage_offset", &set_storage);
  library.impl("set_.source_Tensor", &set_tensor);
  library.impl("convolution_overrideable", &convolution);
  library.impl("convolution_backward_overrideable", &convolution_backward);
}

TORCH_LIBRARY_IMPL(_, AutocastPrivateUse1, library) {
  library.fallback(torch::CppFunction::makeFallthrough());
}

// What CUDA computes in lower precision, and what never, as far as causalkit uses it. The macros
// ask for a library called m.
TORCH_LIBRARY_IMPL(aten, AutocastPrivateUse1, m) {
  KERNEL_PRIVATEUSEONE(linear, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(matmul, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(bmm, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(baddbmm, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(addmm, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(mm, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(conv2d, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(scaled_dot_product_attention, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(softplus, fp32)
  KERNEL_PRIVATEUSEONE(layer_norm, fp32)
  KERNEL_PRIVATEUSEONE(group_norm, fp32)
  KERNEL_PRIVATEUSEONE(softmax, int, fp32)
  KERNEL_PRIVATEUSEONE(exp, fp32)
  KERNEL_PRIVATEUSEONE(log, fp32)
}

}  // namespace

PYBIND11_MODULE(TORCH_EXTENSION_NAME, module) {
  c10::SetAllocator(KIND, &allocator);
  at::RegisterPrivateUse1HooksInterface(&hooks);
}
